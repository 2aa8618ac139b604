"""Frames a second, latency and drops of what happened last."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW_S = 5.0


@dataclass(frozen=True)
class LiveFigures:
    """What a stream amounts to over the last seconds; None where nothing is known yet.

    Attributes
    ----------
    images_a_second, answers_a_second
        That arrived, and that were looked at.
    latency_median_ms, latency_p95_ms
        From the node's event to the marker moved.
    dropped
        Images overtaken by newer ones since the start.
    answered_as
        What the last answer is of: a model that remembers needs to have seen some images first.
    """

    images_a_second: float
    answers_a_second: float
    latency_median_ms: float | None
    latency_p95_ms: float | None
    dropped: int
    answered_as: str


class LiveStatistics:
    """Counts over a sliding window of :data:`WINDOW_S`.

    Attributes
    ----------
    answered, dropped
        Since the start.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_s = clock()
        self._arrivals: deque[float] = deque()
        self._answers: deque[tuple[float, float]] = deque()
        self.answered = 0
        self.dropped = 0
        self._answered_as = ""

    def image_arrived(self) -> None:
        """Count an image."""
        now_s = self._clock()
        self._arrivals.append(now_s)
        self._forget_what_is_old(now_s)

    def image_dropped(self) -> None:
        """Count an image that was overtaken."""
        self.dropped += 1

    def marker_moved(self, latency_s: float, answered_as: str = "") -> None:
        """Count an answer that is on the screen, so long after its image."""
        self.answered += 1
        self._answered_as = answered_as
        self._answers.append((self._clock(), latency_s))

    def figures(self) -> LiveFigures:
        """Return what the last seconds amount to."""
        now_s = self._clock()
        self._forget_what_is_old(now_s)
        span_s = max(min(WINDOW_S, now_s - self._started_s), 1e-3)
        latencies_ms = [1000 * latency_s for _, latency_s in self._answers]
        median, p95 = np.percentile(latencies_ms, (50, 95)) if latencies_ms else (None, None)
        return LiveFigures(
            images_a_second=len(self._arrivals) / span_s,
            answers_a_second=len(self._answers) / span_s,
            latency_median_ms=median,
            latency_p95_ms=p95,
            dropped=self.dropped,
            answered_as=self._answered_as,
        )

    def _forget_what_is_old(self, now_s: float) -> None:
        while self._arrivals and now_s - self._arrivals[0] > WINDOW_S:
            self._arrivals.popleft()
        while self._answers and now_s - self._answers[0][0] > WINDOW_S:
            self._answers.popleft()
