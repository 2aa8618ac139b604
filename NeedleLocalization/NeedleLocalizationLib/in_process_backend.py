"""A backend without a process of its own: stand-ins in tests, and whoever wants no process.

It is asked as :class:`needle_backend.service.client.BackendClient` is, and works in threads.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.core.progress import CancelToken, Progress, no_progress
from needle_backend.core.volume import Volume
from needle_backend.service.job import Job, ignore
from needle_backend.service.work import NeedleFinder

Task = Callable[[Progress, CancelToken], Any]

# While Qt waits for events the window's thread may keep Python's lock to itself, and a Python
# thread stands still; each poll therefore waits a moment, which hands the lock over.
HAND_OVER_S = 0.02


@dataclass
class _Running:
    """A task in its thread, and what it has said so far."""

    job: Job
    on_progress: Progress
    cancel: CancelToken = field(default_factory=CancelToken)
    said: list[tuple[str, float]] = field(default_factory=list)
    outcome: Any = None
    thread: threading.Thread | None = None

    def start(self, task: Task) -> None:
        def work() -> None:
            try:
                self.outcome = task(lambda *progress: self.said.append(progress), self.cancel)
            except Exception as error:  # handed over: a thread has nobody to raise to
                self.outcome = error

        self.thread = threading.Thread(target=work, name="NeedleLocalization", daemon=True)
        self.thread.start()


class InProcessBackend:
    """Lets a finder work in threads of this process; looked at by :meth:`poll`."""

    def __init__(self, finder: NeedleFinder) -> None:
        self._finder = finder
        self._numbers = itertools.count(1)
        self._running: list[_Running] = []
        self._volume: tuple[int, Volume] | None = None

    def start_locate(
        self,
        volume: Volume,
        options: LocateOptions,
        on_progress: Progress = no_progress,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Start finding the needles of a CT; the result is a LocateResult."""
        job = Job(next(self._numbers), "locate", on_done=on_done)
        self._volume = job.id, volume

        def task(progress: Progress, cancel: CancelToken) -> LocateResult:
            return self._finder.locate(volume, options, progress, cancel)

        return self._start(job, task, on_progress)

    def send_volume(self, volume: Volume) -> Job:
        """Keep a volume to score lines on; the job stands for it and is done."""
        job = Job(next(self._numbers), "volume")
        self._volume = job.id, volume
        job.finish(None)
        return job

    def has_volume_of(self, job: Job) -> bool:
        """Tell whether lines can be scored on a job's volume."""
        return self._volume is not None and self._volume[0] == job.id

    def start_score(
        self, located: Job, lines_lps: np.ndarray, on_done: Callable[[Job], None] = ignore
    ) -> Job:
        """Score lines (n, 2, 3) on a job's volume; the result is an array (n,)."""
        return self._look("score", lambda volume: self._finder.score(volume, lines_lps), on_done)

    def start_fit(
        self,
        located: Job,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Lay a line onto the shaft beside it; the result is an array (2, 3)."""
        others = np.reshape(others_lps, (-1, 2, 3))
        return self._look("fit", lambda v: self._finder.fit(v, line_lps, others, options), on_done)

    def start_find_handle(
        self,
        located: Job,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Find the handle of a tip; the result is an array (2, 3), the tip first."""

        def find(volume: Volume) -> np.ndarray:
            handles, others = np.reshape(handles_lps, (-1, 3)), np.reshape(others_lps, (-1, 2, 3))
            return self._finder.find_handle(volume, np.array(tip_lps), handles, others, options)

        return self._look("find_handle", find, on_done)

    def cancel(self, job: Job) -> None:
        """Ask a job to stop at its next check."""
        for running in self._running:
            if running.job is job:
                running.cancel.cancel()

    def poll(self) -> None:
        """Pass on what the threads have said; an ended one's job is done."""
        for running in list(self._running):
            running.thread.join(HAND_OVER_S)
            ended = not running.thread.is_alive()
            while running.said:
                running.on_progress(*running.said.pop(0))
            if ended:
                self._running.remove(running)
                running.job.finish(running.outcome)

    def close(self) -> None:
        """Ask all that runs to stop."""
        for running in self._running:
            running.cancel.cancel()

    def _look(
        self, kind: str, look: Callable[[Volume], Any], on_done: Callable[[Job], None]
    ) -> Job:
        """Look at the newest volume in a thread."""
        _number, volume = self._volume
        job = Job(next(self._numbers), kind, on_done=on_done)
        return self._start(job, lambda progress, cancel: look(volume))

    def _start(self, job: Job, task: Task, on_progress: Progress = no_progress) -> Job:
        running = _Running(job, on_progress)
        self._running.append(running)
        running.start(task)
        return job
