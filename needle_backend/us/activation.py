"""Where the network looks: its activation at stride 16 laid over the frame.

Wang et al. 2025, figure 12: objectness, class score and their product on the 40 x 40 scale, each
scaled to [0, 1], averaged, and resized to the frame.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from needle_backend.us.detect import TipDetector
from needle_backend.us.preprocess import letterbox

OPACITY = 0.45


def activation_map(detector: TipDetector, image: np.ndarray) -> np.ndarray:
    """Return the activation in 0..1, float32 [row, column], of a grey uint8 frame.

    Raises
    ------
    InputError
        When the image is not a grey one of a usable size.
    """
    coarse = detector.maps(image)[-1][0].float()
    objectness, likeness = torch.sigmoid(coarse[4:6]).cpu().numpy()
    scaled = [_to_unit(values) for values in (objectness, likeness, objectness * likeness)]
    side = detector.input_px
    square = cv2.resize(np.mean(scaled, axis=0), (side, side), interpolation=cv2.INTER_LINEAR)
    _, frame = letterbox(image, side)
    rows, columns = image.shape
    filled = square[: round(rows * frame.scale_y), : round(columns * frame.scale_x)]
    return cv2.resize(filled, (columns, rows), interpolation=cv2.INTER_LINEAR)


def _to_unit(values: np.ndarray) -> np.ndarray:
    """Scale to 0..1; a map without any contrast becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def laid_over(image: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """Colour a grey frame by an activation in 0..1; BGR uint8 [row, column, 3]."""
    colours = cv2.applyColorMap(np.uint8(np.round(255 * activation)), cv2.COLORMAP_JET)
    grey = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(colours, OPACITY, grey, 1 - OPACITY, 0)
