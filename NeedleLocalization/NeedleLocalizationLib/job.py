"""One piece of work in a thread of its own, looked at from another; knows neither Qt nor MRML."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from needle_backend.core.needles import LocateResult
from needle_backend.core.progress import CancelToken, Progress

Work = Callable[[Progress, CancelToken], LocateResult]


@dataclass(frozen=True)
class JobState:
    """How far a job is: its stage, 0..1 within it, and the seconds since it started."""

    stage: str
    fraction: float
    elapsed_s: float


class Job:
    """Runs ``work(progress, cancel)`` once, in a thread.

    Parameters
    ----------
    work
        May raise anything; :meth:`result` raises it again.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._cancel = CancelToken()
        self._thread = threading.Thread(target=self._run, name="NeedleLocalization", daemon=True)
        self._stage, self._fraction = "start", 0.0
        self._started_s = 0.0
        self._result: LocateResult | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start working."""
        self._started_s = time.monotonic()
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._cancel.cancel()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, ``timeout_s`` at most; return whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def state(self) -> JobState:
        """How far the work is."""
        stage, fraction = self._stage, self._fraction
        return JobState(stage, fraction, time.monotonic() - self._started_s)

    def result(self) -> LocateResult:
        """Return what the finished work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise RuntimeError("the job has not finished")
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work(self._on_progress, self._cancel)
        except BaseException as error:  # handed over: a thread has nobody to raise to
            self._error = error

    def _on_progress(self, stage: str, fraction: float) -> None:
        self._stage, self._fraction = stage, fraction
