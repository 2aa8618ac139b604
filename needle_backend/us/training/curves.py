"""A picture of curves over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

PLOT_WIDTH, HEIGHT = 500, 440
LEFT, TOP, BOTTOM = 70, 45, 55
_GAP = 10
INK, GRID = (40, 40, 40), (225, 225, 225)
COLOURS = ((180, 90, 20), (40, 120, 220), (60, 150, 60), (150, 60, 150))
FONT = cv2.FONT_HERSHEY_SIMPLEX
_SIZE = 0.45
_GRID_LINES = 5


@dataclass(frozen=True)
class Curve:
    """A line through points, and its name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def draw_curves(title: str, x_name: str, curves: Sequence[Curve]) -> np.ndarray:
    """Return a picture, BGR uint8, of curves from zero up, their names at their right ends."""
    legend = max(_width(curve.name) for curve in curves)
    columns = max(LEFT + PLOT_WIDTH + legend, LEFT + _width(title)) + 2 * _GAP
    image = np.full((HEIGHT, columns, 3), 255, np.uint8)
    right = max(1.0, max(max(curve.x) for curve in curves))
    top = max(1e-9, max(max(curve.y) for curve in curves))

    def pixel(x: float, y: float) -> tuple[int, int]:
        height = HEIGHT - TOP - BOTTOM
        return round(LEFT + x / right * PLOT_WIDTH), round(HEIGHT - BOTTOM - y / top * height)

    for share in np.linspace(0, 1, _GRID_LINES + 1):
        start, end = pixel(0, share * top), pixel(right, share * top)
        cv2.line(image, start, end, GRID)
        _write(image, f"{share * top:.3g}", (10, start[1] + 4))
    for x in (0, right):
        _write(image, f"{x:g}", (pixel(x, 0)[0] - 4, HEIGHT - BOTTOM + 18))
    _write(image, title, (LEFT, TOP - 18))
    _write(image, x_name, (pixel(right / 2, 0)[0] - 20, HEIGHT - 15))
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        points = np.array([pixel(*point) for point in zip(curve.x, curve.y, strict=True)], np.int32)
        cv2.polylines(image, [points], False, colour, 2, cv2.LINE_AA)
        # One below the other, since curves may end at the same height.
        place = (LEFT + PLOT_WIDTH + _GAP, TOP + 20 + 22 * number)
        _write(image, curve.name, place, colour)
    return image


def _width(text: str) -> int:
    return cv2.getTextSize(text, FONT, _SIZE, 1)[0][0]


def _write(
    image: np.ndarray, text: str, place: tuple[int, int], colour: tuple[int, int, int] = INK
) -> None:
    cv2.putText(image, text, place, FONT, _SIZE, colour, 1, cv2.LINE_AA)
