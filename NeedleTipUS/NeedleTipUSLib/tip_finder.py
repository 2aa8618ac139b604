"""Asks the backend process about frames, and polls for its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import qt

from needle_backend.service.job import Job
from needle_backend.us.tips import TrackOptions
from NeedleLocalizationLib.session_process import session_client

POLL_INTERVAL_MS = 4


class Backend(Protocol):
    """What finds tips in frames: the backend process' client, or what stands in for it."""

    def start_track(
        self,
        frame: np.ndarray,
        number: int,
        time_s: float,
        on_done: Callable[[Job], None],
        options: TrackOptions,
    ) -> Job:
        """Ask for the tip in a grey frame; frames that a newer one overtakes are dropped."""

    def poll(self) -> None:
        """Take answers and call callbacks."""


class TipFinder:
    """Passes frames on, and polls while answers are owed.

    Parameters
    ----------
    backend
        Returns what is asked; asked for at every frame, since the session's process may have been
        ended meanwhile.
    """

    def __init__(self, backend: Callable[[], Backend] = session_client) -> None:
        self._backend = backend
        self._jobs: list[Job] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    def ask(
        self,
        frame: np.ndarray,
        number: int,
        time_s: float,
        on_done: Callable[[Job], None],
        options: TrackOptions,
    ) -> None:
        """Ask for the tip in a frame.

        Raises
        ------
        InputError, BackendError
            When the process cannot be started.
        """
        backend = self._backend()
        self._jobs.append(backend.start_track(frame, number, time_s, on_done, options))
        self._timer.start()

    def stop(self) -> None:
        """Wait for no answer any more."""
        self._timer.stop()
        self._jobs.clear()

    def _poll(self) -> None:
        self._backend().poll()
        self._jobs = [job for job in self._jobs if not job.done]
        if not self._jobs:
            self._timer.stop()
