"""The server on pipes of its own, in this process: who may ask, and what nonsense gets."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from needle_backend import __version__
from needle_backend.core.needles import LocateResult
from needle_backend.service.protocol import Decoder, Message, encode
from needle_backend.service.server import Server
from needle_backend.service.shared import LINUX_FOLDER, Outbox
from service.fake_work import FakeWork


class Talk:
    """A client's end of the pipes that waits for each answer."""

    def __init__(self, make_work=FakeWork) -> None:
        source, self._to_server = os.pipe()
        self._from_server, sink = os.pipe()
        self.exit_status: list[int] = []
        self.outbox = Outbox()
        self._decoder = Decoder()
        self._unread: list[Message] = []
        server = Server(source, sink, make_work, self.exit_status.append)

        def serve() -> None:
            server.run()
            os.close(source)
            os.close(sink)

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()

    def write(self, data: bytes) -> None:
        os.write(self._to_server, data)

    def tell(self, kind: str, number: int = 0, /, **fields) -> None:
        self.write(encode(Message(kind, number, fields)))

    def greet(self) -> None:
        self.tell("hello", version=__version__, prefix=self.outbox.prefix)

    def send_volume(self, number: int, value: int = 7, **changes) -> None:
        array = np.full((3, 4, 5), value, np.int16)
        fields = {"spacing_mm": [1, 1, 5], "origin_lps": [0, 0, 0], "source": ""}
        self.tell("volume", number, shared=self.outbox.put(number, array), **fields | changes)

    def hear(self, *kinds: str) -> Message:
        """Return the next answer of one of these kinds, passing over others."""
        while True:
            while self._unread:
                message = self._unread.pop(0)
                if message.kind in kinds:
                    return message
            data = os.read(self._from_server, 1 << 16)
            assert data, f"the server ended without a word of {kinds}"
            self._unread.extend(self._decoder.feed(data))

    def hang_up(self) -> None:
        os.close(self._to_server)
        self.thread.join(10)
        assert not self.thread.is_alive()
        os.close(self._from_server)
        assert list(LINUX_FOLDER.glob(f"{self.outbox.prefix}*")) == []
        self.outbox.clear()


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    talk.greet()
    yield talk
    talk.hang_up()


def test_the_server_says_hello_unasked_with_its_version_and_process():
    talk = Talk()
    hello = talk.hear("hello")
    assert hello.fields == {"version": __version__, "pid": os.getpid()}
    assert talk.hear("ready").fields == {"info": {"device": "fake"}}
    talk.hang_up()


def test_a_second_client_is_refused_plainly_and_the_first_goes_on(talk):
    talk.tell("hello", 5, version=__version__, prefix="ngb-000000000000-")
    assert "already serves a client" in talk.hear("error").fields["message"]
    talk.tell("info", 6)
    assert talk.hear("result").id == 6


def test_a_client_of_another_version_is_refused_plainly():
    talk = Talk()
    talk.tell("hello", version="0.0.0", prefix=talk.outbox.prefix)
    assert "asked by version 0.0.0" in talk.hear("error").fields["message"]
    talk.hang_up()


def test_nothing_is_done_for_who_has_not_said_hello():
    talk = Talk()
    talk.tell("info", 3)
    error = talk.hear("error", "result")
    assert (error.kind, error.id) == ("error", 3)
    talk.hang_up()


def test_needles_are_located_on_the_volume_that_was_sent(talk):
    talk.send_volume(1, origin_lps=[-10, 20, 30], warnings=["resampled"])
    talk.tell("locate", 2, volume=1, options={"count": 4})
    result = LocateResult.from_dict(talk.hear("result", "error").fields)
    assert result.needles[0].tip_lps == (-10.0, 20.0, 30.0)
    assert result.needles[0].handle_lps == (-6.0, 23.0, 40.0)
    assert result.needles[0].score == 7.0
    assert result.count.value == 4
    assert result.warnings == ("resampled",)


def test_lines_are_scored_on_the_volume_that_was_sent(talk):
    talk.send_volume(1, value=2)
    lines = np.array([[[0, 0, 0], [3, 4, 0]], [[1, 1, 1], [1, 1, 1]]], float)
    talk.write(encode(Message("score", 2, {"volume": 1}, {"lines_lps": lines})))
    np.testing.assert_allclose(talk.hear("result").arrays["scores"], [7.0, 2.0])


@pytest.mark.parametrize(
    ("kind", "arrays", "problem"),
    [
        ("score", {}, "score has no lines_lps of shape (n, 2, 3)"),
        ("score", {"lines_lps": (2, 3)}, "score has no lines_lps of shape (n, 2, 3)"),
        ("fit", {"line_lps": (2, 2)}, "fit has no line_lps of shape (2, 3)"),
        ("fit", {"line_lps": (2, 3)}, "fit has no others_lps of shape (n, 2, 3)"),
        ("find_handle", {"tip_lps": (2,)}, "find_handle has no tip_lps of shape (3)"),
    ],
)
def test_lines_that_are_none_are_refused(talk, kind, arrays, problem):
    talk.send_volume(1)
    zeros = {name: np.zeros(shape) for name, shape in arrays.items()}
    talk.write(encode(Message(kind, 2, {"volume": 1}, zeros)))
    assert problem in talk.hear("error", "result").fields["message"]


def test_a_volume_that_was_replaced_is_asked_for_again(talk):
    talk.send_volume(1)
    talk.send_volume(2)
    talk.tell("locate", 3, volume=1)
    assert "no longer has this volume" in talk.hear("error", "result").fields["message"]


def test_every_frame_is_answered_with_its_number_and_time_or_dropped(talk):
    frames = [np.full((2, 2), 50, np.uint8)] + [np.full((2, 2), i, np.uint8) for i in range(1, 9)]
    for number, frame in enumerate(frames, start=1):
        shared = talk.outbox.put(number, frame)
        talk.tell("track", number, shared=shared, frame=100 + number, time_s=0.1 * number)
    answers = [talk.hear("result", "dropped") for _ in frames]
    results = [answer for answer in answers if answer.kind == "result"]
    assert sorted(answer.id for answer in answers) == list(range(1, 10))
    assert all(answer.fields["frame"] == 100 + answer.id for answer in answers)
    assert all(answer.fields["time_s"] == 0.1 * answer.id for answer in answers)
    assert results[-1].id == 9
    assert results[-1].fields["value"] == 8
    assert results[-1].fields["dropped"] == len(answers) - len(results) > 0


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("full in network", "backend", "memory of the computing device is full"),
        ("full-gpu in network", "backend", "memory of the computing device is full"),
        ("refuse in read", "input", "load the whole CT"),
        ("fail in match", "backend", "ZeroDivisionError"),
    ],
)
def test_a_job_that_fails_is_told_in_words_and_the_next_one_works(talk, source, error, words):
    talk.send_volume(1, source=source)
    talk.tell("locate", 2, volume=1)
    answer = talk.hear("result", "error")
    assert answer.fields["error"] == error
    assert words in answer.fields["message"]
    talk.send_volume(3)
    talk.tell("locate", 4, volume=3)
    assert talk.hear("result", "error").kind == "result"


@pytest.mark.parametrize("stage", ["read", "tophat", "network", "match"])
def test_the_job_at_hand_stops_when_it_is_cancelled(talk, stage):
    talk.send_volume(1, source=f"sleep in {stage}")
    talk.tell("locate", 2, volume=1)
    while talk.hear("progress").fields["stage"] != stage:
        pass
    talk.tell("cancel", job=2)
    assert talk.hear("error", "result").fields["error"] == "cancelled"


def test_a_job_can_be_cancelled_while_models_are_loaded():
    loaded = threading.Event()
    talk = Talk(lambda: loaded.wait() and FakeWork())
    talk.greet()
    talk.tell("info", 1)
    talk.tell("cancel", job=1)
    assert talk.hear("error").fields["error"] == "cancelled"
    loaded.set()
    talk.hang_up()


def test_a_server_that_cannot_load_its_work_says_why_to_whoever_asks():
    def make_work():
        raise ImportError("No module named 'torch'")

    talk = Talk(make_work)
    talk.greet()
    talk.tell("info", 1)
    assert "No module named 'torch'" in talk.hear("error").fields["message"]
    talk.hang_up()


def test_the_end_of_its_input_ends_the_server_and_frees_what_it_did_not_take():
    talk = Talk()
    talk.greet()
    talk.tell("info", 1)
    talk.hear("result")
    talk.outbox.put(2, np.ones(5))
    talk.hang_up()
    assert talk.exit_status == [0]


def test_shutdown_ends_the_server():
    talk = Talk()
    talk.greet()
    talk.tell("shutdown")
    talk.thread.join(10)
    assert talk.exit_status == [0]
    talk.hang_up()


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"NGB1" + b"\xff" * 20, os.urandom(4096)])
def test_garbage_ends_the_connection_and_the_server_says_so(garbage):
    talk = Talk()
    talk.greet()
    talk.write(garbage)
    assert "unusable" in talk.hear("error").fields["message"]
    talk.hang_up()
    assert talk.exit_status == [2]


def test_a_message_cut_short_by_the_end_of_input_is_not_acted_on():
    talk = Talk()
    talk.greet()
    talk.write(encode(Message("info", 1))[:-2])
    talk.hang_up()
    assert talk.exit_status == [0]


def test_ten_thousand_senseless_requests_are_each_answered_and_the_server_still_works(talk):
    dice = random.Random(1)
    values = [None, 0, -1, 2**70, "x", "", [], {}, [1, 2, 3], {"name": "ngb-0"}, True, 1e308]
    names = ["volume", "options", "shared", "spacing_mm", "job", "frame", "time_s", "weights"]
    kinds = [
        "locate",
        "score",
        "fit",
        "find_handle",
        "volume",
        "track",
        "load",
        "unheard-of",
        "hello",
        "",
    ]
    talk.hear("ready")
    for number in range(1, 10_001):
        fields = {dice.choice(names): dice.choice(values) for _ in range(dice.randint(0, 4))}
        talk.tell("cancel", job=dice.choice(values))
        talk.tell(dice.choice(kinds), number, **fields)
        assert talk.hear("error", "result").id == number
    talk.send_volume(20_000)
    talk.tell("locate", 20_001, volume=20_000)
    answer = talk.hear("error", "result")
    assert (answer.kind, answer.id) == ("result", 20_001)


def test_requests_in_the_wrong_order_are_refused_one_by_one(talk):
    talk.tell("locate", 2, volume=1)
    talk.tell("cancel", job=7)
    talk.send_volume(1)
    talk.tell("locate", 3, volume=1)
    assert [(talk.hear("error", "result")).kind for _ in range(2)] == ["error", "result"]
