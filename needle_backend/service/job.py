"""Something asked of the backend process, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.core.needles import LocateResult
from needle_backend.core.progress import Progress, no_progress
from needle_backend.service.protocol import Message


class FrameDropped(Exception):
    """A newer frame took this one's place before it was looked at."""


def read_fields(message: Message) -> dict[str, Any]:
    """Read an answer that is a JSON object."""
    return message.fields


def read_locate_result(message: Message) -> LocateResult:
    """Read the answer to ``locate``."""
    return LocateResult.from_dict(message.fields)


def read_scores(message: Message) -> np.ndarray:
    """Read the answer to ``score``, (n,)."""
    return message.arrays["scores"]


def read_line(message: Message) -> np.ndarray:
    """Read the answer to ``fit`` and ``find_handle``, (2, 3)."""
    return message.arrays["line_lps"]


def ignore(job: Job) -> None:
    """Do nothing when a job is done."""


class Job:
    """A request and, once it is done, its result.

    Attributes
    ----------
    id
        The request's number; of a localization also the number of its volume, for scoring lines.
    kind
        The request's kind in the protocol.
    done
        Whether :meth:`result` has something to tell.
    cancelled_at
        When it was given up, on the monotonic clock; None if it was not.
    """

    def __init__(
        self,
        number: int,
        kind: str,
        read: Callable[[Message], Any] = read_fields,
        on_progress: Progress = no_progress,
        on_done: Callable[[Job], None] = ignore,
    ) -> None:
        self.id = number
        self.kind = kind
        self.done = False
        self.cancelled_at: float | None = None
        self._read = read
        self._on_progress = on_progress
        self._on_done = on_done
        self._outcome: Any = None

    def result(self) -> Any:
        """Return what was asked for.

        Raises
        ------
        InputError, BackendError, Cancelled, FrameDropped
            When it came to nothing.
        """
        if not self.done:
            raise BackendError("The backend has not answered yet.")
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def hear(self, message: Message) -> None:
        """Take an answer of the backend: progress, or the end."""
        if message.kind == "progress":
            stage, fraction = message.fields.get("stage"), message.fields.get("fraction")
            if isinstance(stage, str) and isinstance(fraction, int | float):
                self._on_progress(stage, float(fraction))
        else:
            self.finish(self._outcome_of(message))

    def finish(self, outcome: Any) -> None:
        """End with a result, or with the exception that says why there is none."""
        self._outcome = outcome
        self.done = True
        self._on_done(self)

    def _outcome_of(self, message: Message) -> Any:
        sentence = str(message.fields.get("message"))
        match message.kind, message.fields.get("error"):
            case "result", _:
                try:
                    return self._read(message)
                except (KeyError, TypeError, ValueError, AttributeError):
                    return BackendError("The backend's answer makes no sense; try again.")
            case "dropped", _:
                return FrameDropped("a newer frame came")
            case _, "cancelled":
                return Cancelled("cancelled")
            case _, "input":
                return InputError(sentence)
        return BackendError(sentence)
