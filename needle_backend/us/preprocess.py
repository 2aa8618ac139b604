"""From a frame of any size to the square that the network sees, and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from needle_backend.core.errors import InputError

MEAN, STANDARD_DEVIATION = 0.3125, 0.2594
"""Of grey values in 0..1, for the z-score (Wang et al. 2025)."""

SMALLEST_PX = 16
"""A frame with a shorter side shows no needle."""


@dataclass(frozen=True)
class Letterbox:
    """How a frame was scaled into the square's upper left corner.

    Boxes are (n, 4): centre x, centre y, width, height; pixel centres lie at integers on both
    sides, so that a pixel's edge scales without a shift.

    Attributes
    ----------
    scale_x, scale_y
        Square pixels a source pixel; they differ by rounding only.
    """

    scale_x: float
    scale_y: float

    def to_source(self, boxes: np.ndarray) -> np.ndarray:
        """Map boxes from the square to the frame."""
        scale = np.array([self.scale_x, self.scale_y] * 2)
        return (boxes + _EDGE) / scale - _EDGE

    def to_square(self, boxes: np.ndarray) -> np.ndarray:
        """Map boxes from the frame to the square."""
        scale = np.array([self.scale_x, self.scale_y] * 2)
        return (boxes + _EDGE) * scale - _EDGE


_EDGE = np.array([0.5, 0.5, 0.0, 0.0])


def letterbox(image: np.ndarray, size_px: int) -> tuple[np.ndarray, Letterbox]:
    """Scale a frame, its shape kept, to a square; what it does not fill is black.

    Parameters
    ----------
    image
        Grey, uint8 [row, column].
    size_px
        Side of the square.

    Raises
    ------
    InputError
        When the image is not a grey one of a usable size.
    """
    check_frame(image)
    rows, columns = image.shape
    scale = size_px / max(rows, columns)
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.zeros((size_px, size_px), np.uint8)
    cv2.resize(image, (width, height), dst=square[:height, :width], interpolation=method)
    return square, Letterbox(width / columns, height / rows)


def check_frame(image: np.ndarray) -> None:
    """Raise InputError unless a frame is grey, uint8 and not tiny."""
    if image.ndim != 2 or image.dtype != np.uint8:
        raise InputError(
            f"A frame is a grey image of 8 bits, not {image.dtype} of shape {image.shape}; "
            "convert it first."
        )
    if min(image.shape) < SMALLEST_PX:
        rows, columns = image.shape
        raise InputError(
            f"A frame of {columns} x {rows} pixels is too small to show a needle; "
            "give the whole image."
        )


def normalised(batch: torch.Tensor) -> torch.Tensor:
    """Z-score grey squares, uint8 (n, rows, columns) -> float32 (n, 1, rows, columns)."""
    grey = batch[:, None].float()
    return (grey - 255 * MEAN) / (255 * STANDARD_DEVIATION)
