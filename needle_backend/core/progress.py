"""Progress reports and cancelling, shared by every step that takes noticeable time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from needle_backend.core.errors import Cancelled

Progress = Callable[[str, float], None]
"""Called as ``progress(stage, fraction)``: a stage of the result's timings, and 0..1 within it."""


def no_progress(stage: str, fraction: float) -> None:
    """Ignore a progress report."""


class CancelToken:
    """A flag that one thread sets and the working thread checks between small pieces of work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise :class:`Cancelled` once :meth:`cancel` was called."""
        if self._event.is_set():
            raise Cancelled("cancelled")
