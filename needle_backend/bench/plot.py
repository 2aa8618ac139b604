"""A picture of time against size, both logarithmic, beside straight lines of known growth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.files import written_whole

WIDTH, HEIGHT = 720, 480
LEFT, RIGHT, TOP, BOTTOM = 80, 30, 50, 60
INK, GRID, CURVE, GUIDE = (40, 40, 40), (225, 225, 225), (180, 90, 20), (150, 150, 150)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def write_plot(
    path: Path, title: str, size_name: str, sizes: Sequence[int], median_ms: Sequence[float]
) -> None:
    """Draw measured times, and from the last of them back how linear and quadratic ones would lie.

    Raises
    ------
    InputError
        When the place is not writable.
    """
    chart = _Chart(sizes, median_ms)
    chart.text(title, (LEFT, TOP - 20), 0.6)
    chart.text(size_name, (WIDTH // 2 - 30, HEIGHT - 15))
    chart.text("ms", (10, TOP + 5))
    last = len(sizes) - 1
    for power, name in ((1, "linear"), (2, "quadratic")):
        guide = [median_ms[last] * (size / sizes[last]) ** power for size in sizes]
        chart.line(sizes, guide, GUIDE, 1)
        column, row = chart.pixel(sizes[last - 1], guide[last - 1])
        chart.text(name, (column + 8, min(row + 18, HEIGHT - BOTTOM - 6)), colour=GUIDE)
    chart.line(sizes, median_ms, CURVE, 2)
    for size, value in zip(sizes, median_ms, strict=True):
        cv2.circle(chart.image, chart.pixel(size, value), 4, CURVE, -1, cv2.LINE_AA)
    with written_whole(path) as temporary:
        cv2.imwrite(str(temporary), chart.image)


class _Chart:
    """Axes that hold all points, with a grid at 1, 2 and 5 of every power of ten."""

    def __init__(self, sizes: Sequence[int], values: Sequence[float]) -> None:
        self.image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        self._x, self._y = _reach(sizes), _reach(values)
        for tick in _ticks(self._x):
            column, _ = self.pixel(tick, self._y[0])
            cv2.line(self.image, (column, TOP), (column, HEIGHT - BOTTOM), GRID)
            self.text(f"{tick:g}", (column - 8, HEIGHT - BOTTOM + 18))
        for tick in _ticks(self._y):
            _, row = self.pixel(self._x[0], tick)
            cv2.line(self.image, (LEFT, row), (WIDTH - RIGHT, row), GRID)
            self.text(f"{tick:g}", (LEFT - 50, row + 4))
        cv2.rectangle(self.image, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM), INK)

    def pixel(self, size: float, value: float) -> tuple[int, int]:
        """Return (column, row) of a point."""
        x, y = (
            np.log(v / low) / np.log(high / low)
            for v, (low, high) in ((size, self._x), (value, self._y))
        )
        width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return round(LEFT + x * width), round(HEIGHT - BOTTOM - y * height)

    def line(
        self, sizes: Sequence[int], values: Sequence[float], colour: tuple[int, ...], width: int
    ) -> None:
        """Join points; what lies below the axes is left out."""
        points = [self.pixel(*point) for point in zip(sizes, values, strict=True)]
        for start, end in zip(points, points[1:], strict=False):
            inside, a, b = cv2.clipLine(
                (LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM), start, end
            )
            if inside:
                cv2.line(self.image, a, b, colour, width, cv2.LINE_AA)

    def text(
        self,
        text: str,
        place: tuple[int, int],
        scale: float = 0.45,
        colour: tuple[int, ...] = INK,
    ) -> None:
        """Write text from its lower left corner."""
        cv2.putText(self.image, text, place, FONT, scale, colour, 1, cv2.LINE_AA)


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """Return limits a little beyond the values."""
    return min(values) / 1.4, max(values) * 1.4


def _ticks(reach: tuple[float, float]) -> list[float]:
    powers = range(int(np.floor(np.log10(reach[0]))), int(np.ceil(np.log10(reach[1]))) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    return [tick for tick in ticks if reach[0] <= tick <= reach[1]]
