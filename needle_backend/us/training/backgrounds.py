"""Real needle-free B-mode images as tissue: placed into the picture, undone to echoes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.us.training.anatomy import Tissue
from needle_backend.us.training.probe import CurvedProbe, LinearProbe, Probe, acquired
from needle_backend.us.training.speckle import Display, PointSpread, speckle

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_LEAST_PX = 64


def find_backgrounds(folder: Path) -> tuple[Path, ...]:
    """List the images of a folder of grey images cropped to the imaging region.

    Raises
    ------
    InputError
        When there is none.
    """
    found = tuple(p for p in sorted(folder.glob("*")) if p.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(
            f"{folder} holds no image; name a folder of needle-free images ({', '.join(SUFFIXES)})."
        )
    return found


def read_background(path: Path) -> np.ndarray:
    """Read one image as grey levels.

    Raises
    ------
    InputError
        When it cannot be read or is smaller than 64 pixels.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"{path} cannot be read as an image; export it as PNG.")
    if min(image.shape) < _LEAST_PX:
        raise InputError(
            f"{path} is only {image.shape[1]} x {image.shape[0]} pixels; "
            f"a background needs at least {_LEAST_PX} x {_LEAST_PX}."
        )
    return image


def place(
    image: np.ndarray, size: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, Probe, float]:
    """Scale an image into a picture of (columns, rows), somewhere between fitting and filling it.

    Returns
    -------
    The picture, black where the image does not reach; the probe whose sector the image fills; and
    how many times larger the image has become.
    """
    columns, rows = size
    fit = min(columns / image.shape[1], rows / image.shape[0])
    fill = max(columns / image.shape[1], rows / image.shape[0])
    fan = _fan(image)
    scale = fit if fan is not None else fit + (fill - fit) * rng.uniform() ** 0.5
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    left, x = _overlap(large.shape[1], columns, rng)
    top, y = _overlap(large.shape[0], rows, rng)
    shown = large[top : top + rows, left : left + columns]
    picture = np.zeros((rows, columns), np.uint8)
    picture[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
    if fan is None:
        probe = LinearProbe((columns, rows), x, y, shown.shape[1], shown.shape[0])
        return picture, probe, scale
    probe = CurvedProbe(
        (columns, rows),
        (fan.apex[0] * scale + x, fan.apex[1] * scale + y),
        fan.radius_px * scale,
        fan.height_px * scale,
        fan.half_angle,
        beams=min(columns, 512),
    )
    return picture, probe, scale


def as_tissue(
    picture: np.ndarray,
    probe: Probe,
    display: Display,
    spread: PointSpread,
    rng: np.random.Generator,
) -> Tissue:
    """Undo display and scan conversion; speckle of the image's own strength passes over it."""
    strength = display.envelope(acquired(picture, probe))[..., None]
    still = np.concatenate([strength, np.zeros_like(strength)], -1)
    return Tissue(still, strength * speckle(strength.shape[:2], spread, rng), margin=0)


def _overlap(length: int, room: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return where the shown part starts in the image and in the picture."""
    if length > room:
        return int(rng.integers(length - room + 1)), 0
    return 0, int(rng.integers(room - length + 1))


@dataclass(frozen=True)
class _Fan:
    apex: tuple[float, float]
    radius_px: float
    height_px: float
    half_angle: float


def _fan(image: np.ndarray) -> _Fan | None:
    """Find the fan that an image fills between two straight slanting edges; None without it."""
    lit = cv2.morphologyEx((image > 3).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15)))
    rows = np.arange(int(0.25 * len(image)), int(0.75 * len(image)))
    if not lit[rows].any(1).all():
        return None
    first = lit[rows].argmax(1)
    last = image.shape[1] - 1 - lit[rows, ::-1].argmax(1)
    (left_slope, left), (right_slope, right) = (np.polyfit(rows, edge, 1) for edge in (first, last))
    straight = max(
        np.abs(np.polyval((left_slope, left), rows) - first).mean(),
        np.abs(np.polyval((right_slope, right), rows) - last).mean(),
    )
    if straight > 0.02 * image.shape[1] or left_slope > -0.15 or right_slope < 0.15:
        return None
    apex_y = (left - right) / (right_slope - left_slope)
    apex = (left + left_slope * apex_y, apex_y)
    if not 0 <= apex[0] < image.shape[1] - 1:
        return None
    middle = np.flatnonzero(lit[:, round(apex[0])])
    # A little less than the sector, so that its soft edge stays outside.
    half_angle = 0.97 * float(np.arctan((right_slope - left_slope) / 2))
    return _Fan(
        apex, max(float(middle[0] - apex_y), 1.0), float(middle[-1] - middle[0]), half_angle
    )
