"""Whatever the other side says, the client neither crashes nor waits for ever."""

from __future__ import annotations

import random

import pytest

from needle_backend import __version__
from needle_backend.core.errors import BackendError
from needle_backend.core.needles import LocateOptions
from needle_backend.service import client as client_module
from needle_backend.service.client import BackendClient
from needle_backend.service.protocol import Message, encode

HELLO = Message("hello", 0, {"version": __version__})


class ScriptedChild:
    """A child process that says what the test has put into ``says``, piece by piece."""

    says: list[bytes | None]

    def __init__(self, python, arguments) -> None:
        self.said = iter(self.says)

    def send(self, data: bytes) -> None:
        pass

    def flush(self) -> None:
        pass

    def receive(self) -> bytes | None:
        return next(self.said, None)

    def end(self, worker_pid, patience_s=0.0) -> str:
        return "It ended with status 0."


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(client_module, "Child", ScriptedChild)
    return ScriptedChild


def test_ten_thousand_senseless_answers_end_no_job_wrongly_and_raise_nothing(scripted, volume_that):
    dice = random.Random(2)
    values = [None, 0, -1, 2**70, "x", [], {}, [1, 2], {"error": "input"}, True, 1e308]
    names = ["stage", "fraction", "message", "error", "needles", "count", "info", "version"]
    kinds = ["progress", "taken", "ready", "pulse", "request", "", "result", "error", "dropped"]

    def senseless() -> bytes:
        fields = {dice.choice(names): dice.choice(values) for _ in range(dice.randint(0, 4))}
        kind = dice.choice(kinds)
        for_nobody = dice.choice([-1, 2, 99, 2**60])
        return encode(Message(kind, 1 if kind == "progress" else for_nobody, fields))

    scripted.says = [encode(HELLO)] + [senseless() for _ in range(10_000)] + [b""]
    client = BackendClient()
    job = client.start_locate(volume_that(), LocateOptions())
    for _ in range(10_002):
        client.poll()
        assert not job.done
    client.poll()
    client.poll()
    with pytest.raises(BackendError, match="stopped unexpectedly"):
        job.result()


@pytest.mark.parametrize("seed", range(200))
def test_damaged_answers_end_the_job_with_an_error_or_a_result(scripted, volume_that, seed):
    dice = random.Random(seed)
    progress = [Message("progress", 1, {"stage": "match", "fraction": i / 50}) for i in range(50)]
    result = Message("result", 1, {"needles": [], "count": {"value": 0, "estimated": True}})
    messages = [HELLO, Message("taken", 1), *progress, result]
    stream = bytearray(b"".join(encode(message) for message in messages))
    for _ in range(dice.randint(1, 5)):
        stream[dice.randrange(len(stream))] = dice.randrange(256)
    pieces = [bytes(stream[start : start + 97]) for start in range(0, len(stream), 97)]
    scripted.says = pieces
    client = BackendClient()
    job = client.start_locate(volume_that(), LocateOptions())
    for _ in range(len(pieces) + 2):
        client.poll()
    assert job.done


@pytest.mark.parametrize("way", ["noise", "oversized", "truncated", "nothing"])
def test_a_process_that_goes_mad_is_told_and_given_up(finish, way):
    client = BackendClient(server=("service.garbage_server", way))
    job = finish(client, client.start_info())
    with pytest.raises(BackendError, match=r"unreadable|unexpectedly"):
        job.result()
    assert client.worker_pid is None


@pytest.mark.parametrize("way", ["late-hello", "twice"])
def test_answers_out_of_order_or_repeated_do_no_harm(finish, way):
    client = BackendClient(server=("service.garbage_server", way))
    assert finish(client, client.start_info()).result() == {"device": "mad"}
    client.close()
