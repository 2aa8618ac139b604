"""Frames through the backend process: in whatever numbers, with whatever going wrong."""

from __future__ import annotations

import os
import signal

import numpy as np
import psutil
import pytest

from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.service.client import BackendClient
from needle_backend.service.job import FrameDropped, Job
from needle_backend.us.tips import FrameAnswer, Tip, TrackOptions


def frame(value: int, dtype: type = np.uint8) -> np.ndarray:
    return np.full((480, 640), value, dtype)


def outcome(job: Job) -> object:
    try:
        return job.result()
    except (BackendError, InputError, Cancelled, FrameDropped) as error:
        return error


def test_options_travel_with_every_frame(client, finish):
    job = client.start_track(frame(3), 1, 0.0, options=TrackOptions(threshold=0.25))
    assert finish(client, job).result()["threshold"] == 0.25


def test_hundreds_of_frames_are_answered_or_dropped_and_the_drops_are_counted(
    client, finish, eventually
):
    finish(client, client.start_info())
    jobs = []
    for number in range(300):
        jobs.append(client.start_track(frame(number % 40), number, number / 30))
        client.poll()
    eventually(lambda: client.poll() or all(job.done for job in jobs), "every frame has its due")
    outcomes = [outcome(job) for job in jobs]
    answers = [one for one in outcomes if isinstance(one, dict)]
    dropped = sum(isinstance(one, FrameDropped) for one in outcomes)
    assert len(answers) + dropped == 300
    assert answers[-1]["frame"] == 299, "the newest is always looked at"
    assert all(answer["value"] == answer["frame"] % 40 for answer in answers)
    assert answers[-1]["dropped"] <= dropped


def test_a_full_memory_in_mid_frame_is_told_and_the_next_frame_is_looked_at(client, finish):
    job = finish(client, client.start_track(frame(52), 1, 0.0))
    worker = client.worker_pid
    with pytest.raises(BackendError, match="memory of the computing device is full"):
        job.result()
    assert finish(client, client.start_track(frame(4), 2, 0.1)).result()["value"] == 4
    assert client.worker_pid == worker


def test_a_frame_that_cannot_be_used_is_refused_and_the_next_one_is_looked_at(client, finish):
    job = finish(client, client.start_track(frame(53), 1, 0.0))
    with pytest.raises(InputError, match="grey image of 8 bits"):
        job.result()
    assert finish(client, client.start_track(frame(4), 2, 0.1)).result()["value"] == 4


@pytest.mark.parametrize("array", [frame(0, np.complex64), np.zeros((2,) * 5, np.uint8)])
def test_an_array_that_cannot_travel_is_refused_before_it_is_sent(client, finish, array):
    job = finish(client, client.start_track(array, 1, 0.0))
    with pytest.raises(BackendError, match="cannot be sent"):
        job.result()
    assert finish(client, client.start_track(frame(4), 2, 0.1)).result()["value"] == 4


def test_frames_wait_while_needles_are_found_and_only_the_newest_is_then_looked_at(
    client, volume_that, finish, eventually
):
    finish(client, client.start_info())
    long = client.start_locate(volume_that("sleep in network"), LocateOptions())
    jobs = [client.start_track(frame(number), number, 0.1 * number) for number in range(6)]
    for _ in range(50):
        client.poll()
    client.cancel(long)
    eventually(lambda: client.poll() or all(job.done for job in jobs), "every frame has its due")
    answered = [one["frame"] for one in map(outcome, jobs) if isinstance(one, dict)]
    assert answered[-1] == 5
    assert len(answered) < 6


def test_a_process_killed_while_frames_stream_is_replaced_and_the_stream_goes_on(
    new_client, finish, eventually
):
    client = new_client()
    finish(client, client.start_info())
    jobs = []
    for number in range(60):
        if number == 20:
            os.kill(client.worker_pid, signal.SIGKILL)
        jobs.append(client.start_track(frame(7), number, number / 30))
        client.poll()
    eventually(lambda: client.poll() or all(job.done for job in jobs), "every frame has its due")
    assert isinstance(outcome(jobs[-1]), dict | BackendError)
    assert finish(client, client.start_track(frame(8), 60, 2.0)).result()["value"] == 8


def test_a_client_closed_in_mid_stream_leaves_no_frame_unanswered(new_client, finish):
    client = new_client()
    finish(client, client.start_info())
    jobs = [client.start_track(frame(50), number, 0.0) for number in range(5)]
    client.close()
    assert all(job.done for job in jobs)
    assert not isinstance(outcome(jobs[-1]), dict)


def test_memory_stays_flat_over_a_long_stream(client: BackendClient, finish):
    finish(client, client.start_track(frame(1), 0, 0.0))
    worker = psutil.Process(client.worker_pid)
    before = None
    for number in range(150):
        finish(client, client.start_track(frame(1), number, 0.0))
        if number == 20:
            before = worker.memory_info().rss
    assert worker.memory_info().rss - before < 8 << 20, "26 frames' worth"


def test_an_answer_comes_back_from_json_as_it_was():
    seen = FrameAnswer(3, 0.1, "detected", Tip(1.5, 2.5, 36.0, 20.0, 0.9))
    assert FrameAnswer.from_dict({**seen.to_dict(), "dropped": 2}) == seen
    lost = FrameAnswer(4, 0.2, "lost", None)
    assert FrameAnswer.from_dict(lost.to_dict()) == lost
