"""New tissue out of a real image: a part of it, turned, stretched, and grown into another part.

There are few needle-free images and every one is seen many times; a detector that knows them by
heart takes other tissue for needles. Parts at other angles and sizes show anatomy that no image
shows, made of real speckle.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.settings import BackgroundSettings
from needle_backend.us.training.speckle import smooth_noise

_TRIES = 24
_SMALLER = 0.98
"""How much smaller a part becomes after one that did not fit."""
_LIT = 3
_INSIDE = 0.97
"""Share of a part that must lie in the imaging region."""


@dataclass(frozen=True)
class Recut:
    """Tissue without an edge, uint8, and how many times larger it is than in the image."""

    picture: np.ndarray
    scale: float


def recut(
    image: np.ndarray, size: tuple[int, int], settings: BackgroundSettings, rng: np.random.Generator
) -> Recut | None:
    """Fill a picture of (columns, rows) with parts of an image; None where no part fits into it."""
    lit = cv2.morphologyEx((image > _LIT).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15)))
    part = _part(image, lit, size, settings, rng)
    if part is None or rng.random() >= settings.grown_share:
        return part
    other = _part(image, lit, size, settings, rng)
    if other is None:
        return part
    columns, rows = size
    border = smooth_noise((rows, columns), (rows / 2, columns / 2), rng) + rng.normal(0, 0.5)
    share = 1 / (1 + np.exp(-border / rng.uniform(0.03, 0.3)))
    grown = share * part.picture + (1 - share) * other.picture
    return Recut(np.rint(grown).astype(np.uint8), max(part.scale, other.scale))


def _part(
    image: np.ndarray,
    lit: np.ndarray,
    size: tuple[int, int],
    settings: BackgroundSettings,
    rng: np.random.Generator,
) -> Recut | None:
    for attempt in range(_TRIES):
        window = _window(image.shape, size, _SMALLER**attempt, settings, rng)
        scale = 1 / float(np.sqrt(abs(np.linalg.det(window[:, :2]))))
        if scale > settings.enlarged_most:
            continue
        inside = cv2.warpAffine(lit, window, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        if inside.mean() < _INSIDE:
            continue
        picture = cv2.warpAffine(
            image,
            window,
            size,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        return Recut(picture, scale)
    return None


def _window(
    shape: tuple[int, int],
    size: tuple[int, int],
    smaller: float,
    settings: BackgroundSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return an affine map from the picture into the image, (2, 3)."""
    columns, rows = size
    span = smaller * draw(rng, settings.part) * min(shape[1] / columns, shape[0] / rows)
    stretch = np.sqrt(np.exp(rng.uniform(-1, 1) * np.log(settings.stretch_most)))
    turn = np.radians(draw(rng, settings.turn_deg))
    mirror = rng.choice((-1.0, 1.0))
    cos, sin = np.cos(turn), np.sin(turn)
    linear = span * np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror * stretch, 1 / stretch])
    centre = rng.uniform(0, 1, 2) * (shape[1] - 1, shape[0] - 1)
    offset = centre - linear @ ((columns - 1) / 2, (rows - 1) / 2)
    return np.column_stack([linear, offset])
