"""What waits to be done in the server: jobs in their order, and the newest frame."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from needle_backend.core.errors import BackendError
from needle_backend.core.progress import CancelToken
from needle_backend.core.volume import Volume
from needle_backend.service.protocol import Message

MAX_WAITING = 16


@dataclass(frozen=True)
class Task:
    """A request, what came with it through shared memory, and the flag that gives it up."""

    message: Message
    volume: Volume | None = None
    frame: np.ndarray | None = None
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def id(self) -> int:
        """The request's number."""
        return self.message.id

    @property
    def fields(self) -> dict[str, Any]:
        """The request's fields."""
        return self.message.fields


class Inbox:
    """Tasks handed from the thread that listens to the one that works."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Task] = deque()
        self._frame: Task | None = None
        self._current: Task | None = None
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """How many frames gave way to newer ones so far."""
        return self._dropped

    def put_job(self, task: Task) -> None:
        """Add a job after those that wait; raises BackendError when too many do."""
        with self._changed:
            if len(self._jobs) >= MAX_WAITING:
                raise BackendError("Too many requests are waiting; wait for some, or cancel them.")
            self._jobs.append(task)
            self._changed.notify()

    def put_frame(self, task: Task) -> Task | None:
        """Make this the newest frame and return the one it replaces, if that still waited."""
        with self._changed:
            replaced, self._frame = self._frame, task
            self._dropped += replaced is not None
            self._changed.notify()
            return replaced

    def take(self) -> Task | None:
        """Wait for something to do: a job if there is one (they are rare), else the newest frame.

        Returns None once the inbox is closed.
        """
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._jobs or self._frame or self._closed)
            if self._closed:
                return None
            if self._jobs:
                self._current = self._jobs.popleft()
            else:
                self._current, self._frame = self._frame, None
            return self._current

    def cancel(self, number: int) -> Task | None:
        """Give a task up: tell the one being worked on, or return the waiting one, now removed."""
        with self._changed:
            if self._current is not None and self._current.id == number:
                self._current.cancel.cancel()
                return None
            for task in self._jobs:
                if task.id == number:
                    self._jobs.remove(task)
                    return task
            if self._frame is not None and self._frame.id == number:
                task, self._frame = self._frame, None
                return task
            return None

    def close(self) -> None:
        """Give up everything, waiting or not; nothing is taken any more."""
        with self._changed:
            self._closed = True
            if self._current is not None:
                self._current.cancel.cancel()
            self._changed.notify_all()
