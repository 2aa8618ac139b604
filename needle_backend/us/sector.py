"""Find the imaging region in a frame: the sector without the scanner's menus, text and rulers.

Speckle is what tells it: nearly every pixel of an ultrasound image differs from its neighbours,
or at least from a black screen around it, while screens are flat and what is written on them is
thin. Echo-free parts are flat too, so the region is the convex hull of the parts that lie below one
another in the same columns; sectors of linear, steered and curved probes are convex but for the
arc at a curved probe.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.us.frames import FrameSource

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 lie just outside."""

SMALLEST_PX = 32
"""A region smaller than this on a side cannot show a needle."""

MUCH_COLOUR = 0.0005
"""A region with a larger share of coloured pixels has lines, text or Doppler in it."""

_LOOKED_AT = range(0, 64, 8)
_WORKING_PX = 512
_FLAT_LEVELS = 3
_DARK_SCREEN = 16
_WINDOW = 0.03
_DENSE = 0.6
_LEAST_PART = 0.02
_LEAST_OVERLAP = 0.9


@dataclass(frozen=True)
class Sector:
    """The imaging region of a recording.

    Attributes
    ----------
    rect
        Around the region, within the frame.
    mask
        Bool [row, column], of the whole frame.
    """

    rect: Rect
    mask: np.ndarray

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Return the rectangle of an image."""
        x0, y0, x1, y1 = self.rect
        return image[y0:y1, x0:x1]


def sector_of(source: FrameSource, crop: Rect | None = None) -> Sector:
    """Find the imaging region of a recording by some of its first frames.

    Parameters
    ----------
    source
        The recording.
    crop
        The region, where the user knows it.

    Raises
    ------
    InputError
        When the region is too small to show a needle, or the given one is not inside the frame.
    """
    if crop is not None:
        return given_sector(source.name, source.size, crop)
    frames = itertools.islice(source, _LOOKED_AT.start, _LOOKED_AT.stop, _LOOKED_AT.step)
    return sector_in([frame.image for frame in frames], source.name)


def sector_in(images: Sequence[np.ndarray], name: str) -> Sector:
    """Find the imaging region that images of one kind share; ``name`` says whose they are.

    Raises
    ------
    InputError
        When the region is too small to show a needle.
    """
    sector = find_sector(images)
    width, height = _size(sector.rect)
    if min(width, height) < SMALLEST_PX:
        raise InputError(
            f"{name} shows an imaging region of only {width} x {height} pixels; at least "
            f"{SMALLEST_PX} x {SMALLEST_PX} are needed, so record it larger or give --crop."
        )
    return sector


def given_sector(name: str, size: tuple[int, int], crop: Rect) -> Sector:
    """Return the region that a user gives, in frames of a size (columns, rows).

    Raises
    ------
    InputError
        When it does not lie inside them, or is too small to show a needle.
    """
    columns, rows = size
    x0, y0, x1, y1 = crop
    width, height = _size(crop)
    if min(x0, y0, columns - x1, rows - y1) < 0 or min(width, height) < SMALLEST_PX:
        raise InputError(
            f"The region {x0},{y0},{x1},{y1} does not fit {name} of {columns} x {rows} pixels; "
            f"give x0,y0,x1,y1 inside it, at least {SMALLEST_PX} pixels apart."
        )
    mask = np.zeros((rows, columns), bool)
    mask[y0:y1, x0:x1] = True
    return Sector(crop, mask)


def colour_warning(source: FrameSource, sector: Sector) -> str | None:
    """Return a sentence when there are colours in the imaging region, which turn grey there."""
    share = float(source.coloured[sector.mask].mean())
    if share < MUCH_COLOUR:
        return None
    return (
        f"{source.name} has colours in {100 * share:.2g} % of its imaging region; lines, text or "
        "Doppler burnt into it turn grey and may be taken for a needle."
    )


def find_sector(images: np.ndarray | Sequence[np.ndarray]) -> Sector:
    """Find the imaging region.

    Parameters
    ----------
    images
        A grey uint8 frame [row, column], or several of the same size; more of them fill in what
        was dark in the first.

    Returns
    -------
    Sector
        The whole frame where nothing looks like ultrasound.
    """
    frames = [images] if isinstance(images, np.ndarray) and images.ndim == 2 else list(images)
    rows, columns = frames[0].shape
    scale = min(1.0, _WORKING_PX / max(rows, columns))
    small = [
        cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for frame in frames
    ]
    parts = _parts(np.any([_alive(frame) for frame in small], axis=0))
    if not parts.any():
        return whole(rows, columns)
    parts = cv2.resize(parts, (columns, rows), interpolation=cv2.INTER_NEAREST)
    hull = cv2.convexHull(cv2.findNonZero(parts))
    mask = cv2.fillConvexPoly(np.zeros((rows, columns), np.uint8), hull, 1).astype(bool)
    x0, y0, width, height = cv2.boundingRect(hull)
    return Sector((x0, y0, x0 + width, y0 + height), mask)


def _alive(frame: np.ndarray) -> np.ndarray:
    """Tell which pixels differ from their neighbours or from a dark screen, bool."""
    alive = _spread(frame, 3) > _FLAT_LEVELS
    border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    screen = np.median(border)
    if screen <= _DARK_SCREEN:
        # Menu bars stand out from the screen too, but are of one grey throughout.
        is_plain = _spread(frame, 2 * (_side(frame) // 2) + 1) == 0
        alive |= (cv2.blur(frame, (3, 3)) > screen + _FLAT_LEVELS) & ~is_plain
    return alive


def _spread(frame: np.ndarray, side: int) -> np.ndarray:
    """Return brightest minus darkest in the window around each pixel."""
    window = np.ones((side, side), np.uint8)
    return cv2.subtract(cv2.dilate(frame, window), cv2.erode(frame, window))


def _side(image: np.ndarray) -> int:
    """Return the side of the window in which an image is told from writing."""
    return max(3, round(_WINDOW * max(image.shape)))


def _parts(alive: np.ndarray) -> np.ndarray:
    """Return the densely living parts that belong to the largest one, uint8."""
    side = _side(alive)
    window = np.ones((side, side), np.uint8)
    density = cv2.blur(alive.astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE)
    # Writing is dense too where its lines are close, but narrower than any image.
    dense = cv2.morphologyEx((density > _DENSE).astype(np.uint8), cv2.MORPH_OPEN, window)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(dense)
    left, width, area = (
        boxes[1:, name] for name in (cv2.CC_STAT_LEFT, cv2.CC_STAT_WIDTH, cv2.CC_STAT_AREA)
    )
    if len(area) == 0:
        return dense
    largest = int(area.argmax())
    shared = np.minimum(left + width, left[largest] + width[largest])
    shared -= np.maximum(left, left[largest])
    # Wider ones are the scanner's bars of text above and below the image.
    kept = (area >= _LEAST_PART * area[largest]) & (shared >= _LEAST_OVERLAP * width)
    return np.isin(labels, np.flatnonzero(kept) + 1).astype(np.uint8)


def _size(rect: Rect) -> tuple[int, int]:
    return rect[2] - rect[0], rect[3] - rect[1]


def whole(rows: int, columns: int) -> Sector:
    """Return the sector that is the whole frame."""
    return Sector((0, 0, columns, rows), np.ones((rows, columns), bool))
