"""Volumes and frames through shared memory: written once, copied once, gone at once.

The sender creates a segment and tells its name; the receiver copies the array into memory of its
own, removes the segment and answers ``taken``. So a segment lives for milliseconds, and whichever
side outlives the other in that time removes it: the client knows what was not taken, the server
knows its client's prefix.

Python's resource tracker is kept out of it (:func:`_untracked`): on Python 3.11 and 3.12 it takes
an attached segment for one's own, and it is a further process, which in Slicer would be started
through Slicer's launcher.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.core.errors import BackendError
from needle_backend.service.protocol import ArrayForm, ProtocolError

LINUX_FOLDER = Path("/dev/shm")
NAME = re.compile(r"ngb-[0-9a-f]{12}-[0-9]+")
PREFIX = re.compile(r"ngb-[0-9a-f]{12}-")

_registering = threading.Lock()


class Outbox:
    """The sender's segments that the receiver has not taken yet.

    Attributes
    ----------
    prefix
        What the names of all its segments begin with.
    """

    def __init__(self) -> None:
        self.prefix = f"ngb-{secrets.token_hex(6)}-"
        self._numbers = itertools.count()
        self._waiting: dict[int, shared_memory.SharedMemory] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, request: int, array: np.ndarray) -> dict[str, Any]:
        """Copy an array into a segment for ``request`` and return the field that describes it.

        Raises
        ------
        BackendError
            When there is not enough shared memory.
        """
        try:
            form = ArrayForm.of(array)
        except ProtocolError as error:
            raise BackendError(f"The image cannot be sent to the backend: {error}.") from error
        check_room(form.byte_count)
        name = f"{self.prefix}{next(self._numbers)}"
        try:
            with _untracked():
                segment = shared_memory.SharedMemory(name, True, max(1, form.byte_count))
        except OSError as error:
            raise BackendError(f"Shared memory cannot be had ({error.strerror}).") from error
        self._waiting[request] = segment
        np.ndarray(form.shape, form.dtype, segment.buf)[...] = array
        return {"name": name, **form.to_dict()}

    def taken(self, request: int) -> None:
        """Let go of the segment of a request that the receiver says it has copied."""
        segment = self._waiting.pop(request, None)
        if segment is not None:
            segment.close()
            _unlink(segment)

    def clear(self) -> None:
        """Remove what nobody will take any more."""
        for segment in self._waiting.values():
            segment.close()
            _unlink(segment)
        self._waiting.clear()


def take(description: Any) -> np.ndarray:
    """Return a copy of a shared array and remove its segment.

    Raises
    ------
    ProtocolError
        When the description makes no sense or there is no such segment.
    """
    form = ArrayForm.from_dict(description)
    name = description.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ProtocolError("the shared memory has no valid name")
    try:
        with _untracked():
            segment = shared_memory.SharedMemory(name)
    except (OSError, ValueError) as error:
        raise ProtocolError("the shared memory is gone") from error
    try:
        if segment.size < form.byte_count:
            raise ProtocolError("the shared memory is smaller than its array")
        return np.ndarray(form.shape, form.dtype, segment.buf).copy()
    finally:
        segment.close()
        _unlink(segment)


def remove_leftovers(prefix: str) -> None:
    """Remove the segments of a sender that has died; elsewhere than on Linux they die with it."""
    if PREFIX.fullmatch(prefix):
        for path in LINUX_FOLDER.glob(f"{prefix}*"):
            path.unlink(missing_ok=True)


def check_room(byte_count: int) -> None:
    """Raise BackendError where the memory set aside is too small; on Linux writing would crash."""
    if LINUX_FOLDER.is_dir() and shutil.disk_usage(LINUX_FOLDER).free < byte_count:
        raise BackendError(
            f"The image needs {byte_count >> 20} MB of shared memory and {LINUX_FOLDER} has less "
            "free; free some, or make it larger."
        )


def _unlink(segment: shared_memory.SharedMemory) -> None:
    with _untracked(), contextlib.suppress(FileNotFoundError):
        segment.unlink()


@contextlib.contextmanager
def _untracked() -> Iterator[None]:
    """Do as Python 3.13's ``track=False``: leave the resource tracker out."""
    if os.name != "posix":
        yield
        return
    with _registering:
        saved = resource_tracker.register, resource_tracker.unregister
        resource_tracker.register = resource_tracker.unregister = lambda name, kind: None
        try:
            yield
        finally:
            resource_tracker.register, resource_tracker.unregister = saved
