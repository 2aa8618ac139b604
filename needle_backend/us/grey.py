"""Turn pictures of any kind into grey ones of 8 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from needle_backend.core.errors import InputError

COLOUR_APART = 60
"""Channels further apart than this (of 255) are a colour, not the noise of a compressed grey."""


@dataclass(frozen=True)
class GreyWindow:
    """Which values become black and white."""

    black: float
    white: float

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return an image as uint8."""
        scaled = (image.astype(np.float32) - self.black) * (255.0 / (self.white - self.black))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def window_of(images: Sequence[np.ndarray]) -> GreyWindow:
    """Choose one window for a whole recording from some of its images.

    White is the full scale that the values were made for: 1, 255 or the next 2**n - 1. Stretching
    to the brightest value instead would make the same tissue brighter in one recording than in
    another. Single outliers do not count.
    """
    values = np.concatenate([image.ravel() for image in images])
    low, high = np.percentile(values, (0.1, 99.9))
    black = min(0.0, float(low))
    span = float(high) - black
    if span <= 1:
        # Whole numbers of 0 and 1 are a nearly black image, not one of full scale.
        full = 1.0 if np.issubdtype(values.dtype, np.floating) else 255.0
    else:
        full = max(255.0, 2.0 ** math.ceil(math.log2(span + 1)) - 1)
    return GreyWindow(black, black + full)


def to_grey(image: np.ndarray, place: str) -> np.ndarray:
    """Return the brightness of an image [row, column] or [row, column, channel], type kept.

    Parameters
    ----------
    image
        One channel; two (grey, alpha); three or four in the order blue, green, red, alpha.
    place
        Of which file and frame it is.

    Raises
    ------
    InputError
        When it holds values that are no numbers.
    """
    import cv2

    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise InputError(f"{place} holds values that are no numbers (NaN or infinite); mend it.")
    if image.ndim == 2:
        return image
    if image.shape[2] < 3:
        return image[..., 0]
    if image.dtype not in (np.uint8, np.uint16):
        image = image.astype(np.float32)
    return cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_BGR2GRAY)


def coloured_pixels(image: np.ndarray) -> np.ndarray:
    """Tell of each pixel whether it shows a colour: menus, measuring lines, Doppler; bool."""
    if image.ndim == 2 or image.shape[2] < 3 or image.dtype != np.uint8:
        return np.zeros(image.shape[:2], bool)
    channels = image[..., :3]
    return channels.max(axis=2).astype(int) - channels.min(axis=2) > COLOUR_APART
