"""Jobs keep their order; of the frames only the newest waits."""

from __future__ import annotations

import threading

import pytest

from needle_backend.core.errors import BackendError
from needle_backend.service.inbox import MAX_WAITING, Inbox, Task
from needle_backend.service.protocol import Message


def task(number: int) -> Task:
    return Task(Message("any", number))


def test_jobs_are_taken_in_the_order_they_came():
    inbox = Inbox()
    for number in (3, 1, 2):
        inbox.put_job(task(number))
    assert [inbox.take().id for _ in range(3)] == [3, 1, 2]


def test_a_newer_frame_takes_the_place_of_one_that_waits_and_is_counted():
    inbox = Inbox()
    assert inbox.put_frame(task(1)) is None
    assert inbox.put_frame(task(2)).id == 1
    assert inbox.put_frame(task(3)).id == 2
    assert inbox.take().id == 3
    assert inbox.dropped == 2


def test_a_frame_being_looked_at_is_not_dropped():
    inbox = Inbox()
    inbox.put_frame(task(1))
    inbox.take()
    assert inbox.put_frame(task(2)) is None
    assert inbox.dropped == 0


def test_a_job_goes_before_frames():
    inbox = Inbox()
    inbox.put_frame(task(1))
    inbox.put_job(task(2))
    assert [inbox.take().id, inbox.take().id] == [2, 1]


def test_a_waiting_job_that_is_cancelled_is_handed_back_and_never_taken():
    inbox = Inbox()
    inbox.put_job(task(1))
    inbox.put_job(task(2))
    assert inbox.cancel(1).id == 1
    assert inbox.take().id == 2


def test_a_waiting_frame_can_be_cancelled():
    inbox = Inbox()
    inbox.put_frame(task(1))
    assert inbox.cancel(1).id == 1


def test_the_job_at_hand_is_told_to_stop():
    inbox = Inbox()
    inbox.put_job(task(1))
    at_hand = inbox.take()
    assert inbox.cancel(1) is None
    assert at_hand.cancel.is_cancelled


@pytest.mark.parametrize("number", [99, None, "1", [1]])
def test_cancelling_what_is_not_there_does_nothing(number):
    inbox = Inbox()
    inbox.put_job(task(1))
    assert inbox.cancel(number) is None
    assert not inbox.take().cancel.is_cancelled


def test_there_is_a_limit_to_what_may_wait():
    inbox = Inbox()
    for number in range(MAX_WAITING):
        inbox.put_job(task(number))
    with pytest.raises(BackendError, match="Too many"):
        inbox.put_job(task(99))


def test_closing_wakes_who_waits():
    inbox = Inbox()
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(inbox.take()))
    waiting.start()
    inbox.close()
    waiting.join()
    assert taken == [None]
    assert inbox.take() is None


def test_closing_tells_the_job_at_hand_to_stop():
    inbox = Inbox()
    inbox.put_job(task(1))
    at_hand = inbox.take()
    inbox.close()
    assert at_hand.cancel.is_cancelled
