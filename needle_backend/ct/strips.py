"""The CT along a line from tip to handle, straightened: what a second look at a pair looks at.

A strip has the same places for every needle, however long: some millimetres beyond the tip to some
before it, the shaft in even parts, and the hub. At each place it holds a short row across the
needle on the slice the line lies in and on the two beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.geometry import unit_vectors
from needle_backend.core.volume import Volume

if TYPE_CHECKING:
    import torch

TIP_MM = np.arange(-20.0, 12.1, 2.0)
"""Places around the tip, mm towards the handle."""
SHAFT_PLACES = 28
HUB_MM = np.arange(-24.0, 12.1, 4.0)
"""Places around the handle, mm away from the tip."""
PLACES = len(TIP_MM) + SHAFT_PLACES + len(HUB_MM)
ACROSS_MM = np.arange(-4.0, 4.1, 1.0)
SLICES = (-1, 0, 1)
BRIGHTNESS = len(SLICES) * len(ACROSS_MM)
CHANNELS = BRIGHTNESS + 2
"""Brightness slice by slice and across; where the line lies between slices; how far it has come."""
CLIP_HU, SCALE_HU = 800.0, 300.0
SCALE_MM = 200.0


def tall_picture(tophat: np.ndarray, device: str) -> torch.Tensor:
    """Lay the slices of a top-hat [slice, row, column] below each other, (1, 1, rows, columns).

    Sampling in two dimensions is several times faster than in three.
    """
    import torch

    return torch.as_tensor(tophat.reshape(1, 1, -1, tophat.shape[-1]), device=device).float()


def sample_strips(
    tips_lps: np.ndarray, handles_lps: np.ndarray, picture: torch.Tensor, volume: Volume
) -> torch.Tensor:
    """Straighten the top-hat along n lines: (n, :data:`CHANNELS`, :data:`PLACES`) float32.

    Parameters
    ----------
    tips_lps, handles_lps
        (n, 3) LPS mm.
    picture
        White top-hat of the CT, HU, as :func:`tall_picture` lays it out; sampled where it is.
    volume
        Where the CT lies in the patient.
    """
    import torch

    distance_mm, ijk, across = _places(tips_lps, handles_lps, volume)
    nearest = np.rint(ijk[..., 2])
    column = ijk[:, None, :, 0] + ACROSS_MM[:, None] * across[:, :1, None]
    row = ijk[:, None, :, 1] + ACROSS_MM[:, None] * across[:, 1:, None]
    slice_index = nearest[:, None] + np.array(SLICES)[:, None]
    brightness = _on_slices(picture, volume, slice_index[:, :, None], row[:, None], column[:, None])
    brightness = brightness.reshape(len(ijk), BRIGHTNESS, PLACES).clip(0.0, CLIP_HU) / SCALE_HU
    where = np.stack((ijk[..., 2] - nearest, distance_mm / SCALE_MM), axis=1, dtype=np.float32)
    return torch.cat((brightness, torch.as_tensor(where, device=picture.device)), dim=1)


def _places(
    tips_lps: np.ndarray, handles_lps: np.ndarray, volume: Volume
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places' distances from the tip, their indices, and a mm across in pixels."""
    along = handles_lps - tips_lps
    length_mm = np.linalg.norm(along, axis=1)[:, None]
    first, last = TIP_MM[-1], length_mm + HUB_MM[0]
    shaft = first + (np.arange(SHAFT_PLACES) + 0.5) / SHAFT_PLACES * (last - first)
    tip = np.broadcast_to(TIP_MM, (len(along), len(TIP_MM)))
    distance_mm = np.concatenate((tip, shaft, length_mm + HUB_MM), axis=1)
    points = tips_lps[:, None] + distance_mm[..., None] * unit_vectors(along)[:, None]
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0])))
    return distance_mm, volume.lps_to_ijk(points), across / volume.spacing_mm[:2]


def _on_slices(
    picture: torch.Tensor,
    volume: Volume,
    slice_index: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
) -> torch.Tensor:
    """Interpolate within slices, shapes broadcast; dark outside the volume."""
    import torch

    slices, rows, columns = volume.array.shape
    inside = (slice_index >= 0) & (slice_index < slices)
    tall_row = np.clip(slice_index, 0, slices - 1) * rows + np.clip(row, 0, rows - 1)
    across, down = 2 * column / (columns - 1) - 1, 2 * tall_row / (slices * rows - 1) - 1
    grid = np.stack(np.broadcast_arrays(across, down), axis=-1, dtype=np.float32)
    values = torch.nn.functional.grid_sample(
        picture,
        torch.as_tensor(grid.reshape(1, 1, -1, 2), device=picture.device),
        padding_mode="border",
        align_corners=True,
    )
    return values.reshape(grid.shape[:-1]) * torch.as_tensor(inside, device=picture.device)
