"""A backend that is polled by a timer for as long as it owes answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import qt

from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import Progress
from needle_backend.core.volume import Volume
from needle_backend.service.job import Job, ignore

POLL_INTERVAL_MS = 20


class Backend(Protocol):
    """What is asked of the backend process, and of whatever stands in for it."""

    def start_locate(
        self,
        volume: Volume,
        options: LocateOptions,
        on_progress: Progress,
        on_done: Callable[[Job], None],
    ) -> Job:
        """Start finding the needles of a CT."""

    def send_volume(self, volume: Volume) -> Job:
        """Give the backend a volume to score lines on."""

    def has_volume_of(self, job: Job) -> bool:
        """Tell whether lines can be scored on a job's volume."""

    def start_score(
        self, located: Job, lines_lps: np.ndarray, on_done: Callable[[Job], None]
    ) -> Job:
        """Score lines on a job's volume."""

    def start_fit(
        self,
        located: Job,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None],
    ) -> Job:
        """Lay a line onto the shaft beside it."""

    def start_find_handle(
        self,
        located: Job,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None],
    ) -> Job:
        """Find the handle of a tip."""

    def cancel(self, job: Job) -> None:
        """Give a job up."""

    def poll(self) -> None:
        """Take answers and call callbacks."""

    def close(self) -> None:
        """End what runs."""


class PolledBackend:
    """Passes requests on, and polls until all are answered."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs: list[Job] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self.poll)

    def start_locate(
        self,
        volume: Volume,
        options: LocateOptions,
        on_progress: Progress,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Start finding the needles of a CT; ``on_done`` gets the job."""
        return self._await(self._backend.start_locate(volume, options, on_progress, on_done))

    def send_volume(self, volume: Volume) -> Job:
        """Give the backend a volume to score lines on; the job stands for it."""
        return self._backend.send_volume(volume)

    def has_volume_of(self, job: Job) -> bool:
        """Tell whether lines can be scored on a job's volume."""
        return self._backend.has_volume_of(job)

    def start_score(
        self, located: Job, lines_lps: np.ndarray, on_done: Callable[[Job], None] = ignore
    ) -> Job:
        """Score lines (n, 2, 3), tip and handle in LPS mm, on a job's volume."""
        return self._await(self._backend.start_score(located, lines_lps, on_done))

    def start_fit(
        self,
        located: Job,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Lay a line (2, 3) onto the shaft beside it; the others (n, 2, 3) are other needles."""
        asked = self._backend.start_fit(located, line_lps, others_lps, options, on_done)
        return self._await(asked)

    def start_find_handle(
        self,
        located: Job,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Find the line (2, 3) from a tip (3,) to its handle, maybe one of those known (n, 3)."""
        asked = self._backend.start_find_handle(
            located, tip_lps, handles_lps, others_lps, options, on_done
        )
        return self._await(asked)

    def cancel(self, job: Job) -> None:
        """Give a job up."""
        self._backend.cancel(job)

    def poll(self) -> None:
        """Take answers now; also called by the timer."""
        self._backend.poll()
        self._jobs = [job for job in self._jobs if not job.done]
        if not self._jobs:
            self._timer.stop()

    def close(self) -> None:
        """Poll no more, and end what runs."""
        self._timer.stop()
        self._jobs.clear()
        self._backend.close()

    def _await(self, job: Job) -> Job:
        self._jobs.append(job)
        self._timer.start()
        return job
