"""Prepare a CT: the white top-hat for matching, and the network's input.

The top-hat (Xiao et al. 2025) keeps what is brighter than its surroundings and thinner than a ball
of 5 pixels: shafts, hubs, seeds. It equals SimpleITK's ``WhiteTopHat`` slice by slice, default safe
border included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from needle_backend.core.device import to_device

if TYPE_CHECKING:
    import torch

TOP_HAT_RADIUS_PX = 5
STRIDE_PX = 32
"""The network halves its input five times."""


def ball_footprint(radius: int = TOP_HAT_RADIUS_PX) -> np.ndarray:
    """Return ITK's ball of a radius in pixels as a 0/1 mask, (2 radius + 1) squared."""
    reach = np.arange(-radius, radius + 1)
    distance = np.hypot(*np.meshgrid(reach, reach))
    return (distance <= radius + 0.5).astype(np.uint8)


def white_top_hat(array: np.ndarray) -> np.ndarray:
    """White top-hat of each slice.

    Parameters
    ----------
    array
        [slice, row, column], int16, uint8, uint16 or float32.

    Returns
    -------
    numpy.ndarray
        The same shape and type; never negative.
    """
    footprint = ball_footprint()
    pad = 2 * TOP_HAT_RADIUS_PX
    # The border must never win an erosion, as with ITK's safe border.
    highest = _highest(array.dtype)
    out = np.empty_like(array)
    for k, plane in enumerate(array):
        padded = cv2.copyMakeBorder(plane, *[pad] * 4, cv2.BORDER_CONSTANT, value=highest)
        opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, footprint)
        out[k] = plane - opened[pad:-pad, pad:-pad]
    return out


def white_top_hat_on(device: torch.device | str, array: np.ndarray) -> np.ndarray:
    """:func:`white_top_hat`, computed on a device and brought back.

    Give it a few slices at a time: it needs memory for some ten copies of them in float32.
    """
    result = white_top_hat_torch(to_device(array, device).float())
    return result.cpu().numpy().astype(array.dtype)


def white_top_hat_torch(array: torch.Tensor) -> torch.Tensor:
    """Form of :func:`white_top_hat` for a GPU: each footprint row is a one-row maximum filter.

    ``array`` is a (slices, rows, columns) float32 tensor; whole HU are exact in float32.
    """
    import torch.nn.functional as F

    radius, pad = TOP_HAT_RADIUS_PX, 2 * TOP_HAT_RADIUS_PX
    spans = [int(row.sum()) // 2 for row in ball_footprint()]
    padded = F.pad(array[:, None], [pad] * 4, value=float("inf"))
    eroded = -_row_wise_max(-padded, spans, radius)
    opened = _row_wise_max(eroded, spans, radius)
    return array - opened[:, 0, pad:-pad, pad:-pad]


def _row_wise_max(image: torch.Tensor, spans: list[int], radius: int) -> torch.Tensor:
    import torch
    import torch.nn.functional as F

    rows = image.shape[2]
    tall = F.pad(image, [0, 0, radius, radius], value=float("-inf"))
    best = torch.full_like(image, float("-inf"))
    for offset, span in enumerate(spans):
        wide = F.max_pool2d(tall, (1, 2 * span + 1), stride=1, padding=(0, span))
        best = torch.maximum(best, wide[:, :, offset : offset + rows])
    return best


def _highest(dtype: np.dtype) -> float:
    if np.issubdtype(dtype, np.integer):
        return int(np.iinfo(dtype).max)
    return float(np.finfo(dtype).max)


@dataclass(frozen=True)
class InputSettings:
    """What the network sees of a CT.

    Every window is applied to the slice and ``neighbours`` slices on each side; all are channels.
    A window (low, high) in HU becomes 0..1, clamped; 800 HU is the published upper clamp.
    """

    windows_hu: tuple[tuple[float, float], ...] = ((-1000.0, 800.0), (-150.0, 450.0))
    neighbours: int = 1

    @property
    def channels(self) -> int:
        """How many channels the network's first layer takes."""
        return len(self.windows_hu) * (2 * self.neighbours + 1)


def network_input(slices_hu: np.ndarray, settings: InputSettings) -> np.ndarray:
    """Window a stack of neighbouring slices.

    Parameters
    ----------
    slices_hu
        (..., 2 neighbours + 1, rows, columns) HU.

    Returns
    -------
    numpy.ndarray
        (..., channels, rows, columns) float32 in 0..1.
    """
    hu = slices_hu.astype(np.float32)
    windows = [np.clip((hu - lo) / (hi - lo), 0, 1) for lo, hi in settings.windows_hu]
    return np.concatenate(windows, axis=-3)


def neighbour_stack(array: np.ndarray, k: int, neighbours: int) -> np.ndarray:
    """Slice ``k`` with its neighbours, (2 neighbours + 1, rows, columns); the ends are repeated."""
    index = np.clip(np.arange(k - neighbours, k + neighbours + 1), 0, len(array) - 1)
    return array[index]


def network_input_torch(slices_hu: torch.Tensor, settings: InputSettings) -> torch.Tensor:
    """Form of :func:`network_input` for tensors, ready for the network.

    Returns
    -------
    torch.Tensor
        (n, channels, rows, columns) float32 in 0..1, channels last in memory; rows and columns
        padded at their ends with air (0) to a multiple of 32.
    """
    import torch
    import torch.nn.functional as F

    hu = slices_hu.float()
    windows = [((hu - lo) / (hi - lo)).clamp(0, 1) for lo, hi in settings.windows_hu]
    rows, columns = hu.shape[-2:]
    padded = F.pad(torch.cat(windows, dim=-3), [0, -columns % STRIDE_PX, 0, -rows % STRIDE_PX])
    return padded.contiguous(memory_format=torch.channels_last)
