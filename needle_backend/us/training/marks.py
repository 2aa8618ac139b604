"""What scanners write into their images: rulers, letters, grey bars. None of it is a needle."""

from __future__ import annotations

import string

import cv2
import numpy as np

CLEAR_PX = 24
"""Marks keep this far from a tip, so that its label stays true."""

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)


def with_marks(square: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of a square with one to three marks drawn into it.

    Parameters
    ----------
    square
        uint8 [row, column].
    boxes
        (n, 4) of the tips: centre x, centre y, width, height.
    """
    marked = square.copy()
    for _ in range(int(rng.integers(1, 4))):
        draw = (_ruler, _letters, _bar)[int(rng.choice(3, p=[0.5, 0.35, 0.15]))]
        layer = np.zeros_like(square)
        draw(layer, rng)
        near = _near_tips(square.shape, boxes)
        marked = np.where((layer > 0) & ~near, layer, marked)
    return marked


def _near_tips(shape: tuple[int, ...], boxes: np.ndarray) -> np.ndarray:
    near = np.zeros(shape, bool)
    for x, y, width, height in boxes:
        rows = slice(max(0, int(y - height / 2 - CLEAR_PX)), int(y + height / 2 + CLEAR_PX) + 1)
        columns = slice(max(0, int(x - width / 2 - CLEAR_PX)), int(x + width / 2 + CLEAR_PX) + 1)
        near[rows, columns] = True
    return near


def _ruler(layer: np.ndarray, rng: np.random.Generator) -> None:
    """Dots or ticks at even distances along a line, every fifth or tenth of them larger."""
    side = len(layer)
    step, at = rng.uniform(4, 24), rng.uniform(2, side - 2)
    size, grey = rng.uniform(0.5, 1.8), int(rng.integers(130, 256))
    is_vertical, is_dotted = rng.random() < 0.75, rng.random() < 0.6
    every = int(rng.choice([4, 5, 10]))
    for number, along in enumerate(np.arange(rng.uniform(0, step), side, step)):
        reach = size * (1.8 if number % every == 0 else 1.0)
        x, y = (at, along) if is_vertical else (along, at)
        if is_dotted:
            cv2.circle(layer, (round(x), round(y)), max(1, round(reach)), grey, -1, cv2.LINE_AA)
        else:
            dx, dy = (2 * reach, 0.0) if is_vertical else (0.0, 2 * reach)
            ends = [(round(x + sign * dx), round(y + sign * dy)) for sign in (-1, 1)]
            cv2.line(layer, *ends, grey, 1, cv2.LINE_AA)


def _letters(layer: np.ndarray, rng: np.random.Generator) -> None:
    """A few letters and digits, perhaps on a dark plate."""
    side = len(layer)
    signs = list(string.ascii_letters + string.digits + ".:-+<>")
    text = "".join(rng.choice(signs, int(rng.integers(1, 7))))
    font, size = _FONTS[int(rng.integers(len(_FONTS)))], rng.uniform(0.25, 0.9)
    x, y = int(rng.uniform(-10, side - 10)), int(rng.uniform(8, side))
    thickness = int(rng.integers(1, 3))
    if rng.random() < 0.3:
        (width, height), _ = cv2.getTextSize(text, font, size, thickness)
        cv2.rectangle(layer, (x - 3, y - height - 3), (x + width + 3, y + 4), 12, -1)
    cv2.putText(
        layer, text, (x, y), font, size, int(rng.integers(140, 256)), thickness, cv2.LINE_AA
    )


def _bar(layer: np.ndarray, rng: np.random.Generator) -> None:
    """A grey scale, a disk or a frame."""
    side = len(layer)
    x, y = (int(value) for value in rng.uniform(0, side, 2))
    kind = int(rng.integers(3))
    if kind == 0:
        height, width = int(rng.uniform(20, 90)), int(rng.uniform(3, 9))
        scale = np.linspace(255, 1, height)[: max(0, side - y), None]
        part = layer[y : y + height, x : x + width]
        part[...] = np.broadcast_to(scale, part.shape)
    elif kind == 1:
        cv2.circle(layer, (x, y), int(rng.integers(2, 10)), int(rng.integers(120, 256)), -1)
    else:
        corner = (x + int(rng.uniform(5, 40)), y + int(rng.uniform(5, 30)))
        cv2.rectangle(layer, (x, y), corner, int(rng.integers(120, 256)), 1)
