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
from needle_backend.ct.sampling import TopHat

if TYPE_CHECKING:
    import torch

TIP_MM = np.arange(-20.0, 12.1, 2.0)
"""Places around the tip, mm towards the handle."""
SHAFT_PLACES = 28
HUB_MM = np.arange(-24.0, 12.1, 4.0)
"""Places around the handle, mm away from the tip."""
PLACES = len(TIP_MM) + SHAFT_PLACES + len(HUB_MM)
ACROSS_MM = np.arange(-4.0, 4.1, 1.0, dtype=np.float32)
SLICES = (-1, 0, 1)
BRIGHTNESS = len(SLICES) * len(ACROSS_MM)
CHANNELS = BRIGHTNESS + 2
"""Brightness slice by slice and across; where the line lies between slices; how far it has come."""
CLIP_HU, SCALE_HU = 800.0, 300.0
SCALE_MM = 200.0


def sample_strips(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> torch.Tensor:
    """Straighten the top-hat along n lines, (n, 3) LPS mm.

    Returns
    -------
    torch.Tensor
        (n, :data:`PLACES`, :data:`CHANNELS`) float32, on the device of the top-hat.
    """
    import torch

    distance_mm, ijk, across = _places(tips_lps, handles_lps, tophat.volume)
    column, row, slice_index = ijk[..., None]
    nearest = np.rint(slice_index)
    columns = column + ACROSS_MM * across[0, :, None, None]
    rows = row + ACROSS_MM * across[1, :, None, None]
    first = nearest.astype(np.int32) + SLICES[0]
    seen = tophat.on_slices(first, rows, columns, len(SLICES)).clip_(0.0, CLIP_HU).div_(SCALE_HU)
    where = np.stack(((slice_index - nearest)[..., 0], distance_mm / SCALE_MM), axis=-1)
    return torch.cat((*seen, torch.from_numpy(where).to(seen)), dim=-1)


def _places(
    tips_lps: np.ndarray, handles_lps: np.ndarray, volume: Volume
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places' distances from the tip, (n, places), and where they are.

    That is their indices (column, row, slice), (3, n, places), and what a mm across each line is in
    columns and rows, (2, n).
    """
    along = handles_lps - tips_lps
    length_mm = np.linalg.norm(along, axis=1)[:, None]
    first, last = TIP_MM[-1], length_mm + HUB_MM[0]
    shaft = first + (np.arange(SHAFT_PLACES) + 0.5) / SHAFT_PLACES * (last - first)
    tip = np.broadcast_to(TIP_MM, (len(along), len(TIP_MM)))
    distance_mm = np.concatenate((tip, shaft, length_mm + HUB_MM), axis=1, dtype=np.float32)
    step = (unit_vectors(along) / volume.spacing_mm).T.astype(np.float32)
    start = volume.lps_to_ijk(tips_lps).T.astype(np.float32)
    ijk = start[..., None] + step[..., None] * distance_mm
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0]))) / volume.spacing_mm[:2]
    return distance_mm, ijk, across.T.astype(np.float32)
