"""Fixtures for the backend process: whatever a test does to it, nothing may be left behind."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from needle_backend.core.volume import Volume
from needle_backend.service.client import BackendClient
from needle_backend.service.job import Job

TESTING = Path(__file__).parents[1]
TAG = "NEEDLE_BACKEND_TEST"
DEADLINE_S = 30.0


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Mark all processes a test starts, and see that they and their shared memory are gone."""
    monkeypatch.setenv(TAG, uuid.uuid4().hex)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTING), str(TESTING.parent)]))
    before = segments()
    yield
    wait_until(lambda: not tagged_processes(), "processes are gone")
    wait_until(lambda: segments() <= before, "shared memory is gone")


@pytest.fixture
def new_client() -> Iterator[Callable[..., BackendClient]]:
    """Return a maker of clients with fake work, closed at the end of the test."""
    clients = []

    def make(work: str = "FakeWork", **arguments) -> BackendClient:
        server = ("needle_backend.service.server", "--work", f"service.fake_work:{work}")
        clients.append(BackendClient(server=server, **arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(new_client: Callable[..., BackendClient]) -> BackendClient:
    return new_client()


@pytest.fixture
def volume_that() -> Callable[..., Volume]:
    """Return a maker of small volumes whose source tells the fake work how to behave."""

    def make(source: str = "", value: int = 7) -> Volume:
        array = np.full((3, 4, 5), value, np.int16)
        return Volume(array, (1.0, 1.0, 5.0), (-10.0, 20.0, 30.0), source, ("resampled",))

    return make


@pytest.fixture
def finish() -> Callable[[BackendClient, Job], Job]:
    """Return a function that polls a client until a job is done."""

    def poll_until_done(client: BackendClient, job: Job) -> Job:
        def is_done() -> bool:
            client.poll()
            return job.done

        wait_until(is_done, "the job is done")
        return job

    return poll_until_done


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], str], None]:
    return wait_until


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.002)


def segments() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("ngb-*")}


def tagged_processes() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if tag_of(process) == os.environ[TAG]]


def tag_of(process: psutil.Process) -> str | None:
    try:
        return None if process.pid == os.getpid() else process.environ().get(TAG)
    except psutil.Error:
        return None
