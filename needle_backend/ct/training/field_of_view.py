"""Scans that end too early: some needles leave the picture, above, below or towards their hubs.

Drawn from a stream of its own, so that settings without it make the same cases as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from needle_backend.core.settings import draw
from needle_backend.ct.training.implants import ImplantNeedle
from needle_backend.ct.training.settings import GridSettings
from needle_backend.ct.training.splat import Grid

_STREAM = 6
_LOST_SHARE = (0.05, 0.35)
"""How many of the ends at the cut side are lost."""
_LEAST_SLICES, _LEAST_SHARE = 6, 0.6
"""What is left of a scan at least: slices, and rows or columns."""


@dataclass(frozen=True)
class FieldOfView:
    """The part of a simulated grid that is scanned: first and last + 1 along x, y and z."""

    first: tuple[int, int, int]
    last: tuple[int, int, int]

    def of_array(self, array: np.ndarray) -> np.ndarray:
        """Cut an array [slice, row, column]."""
        (i0, j0, k0), (i1, j1, k1) = self.first, self.last
        return array[k0:k1, j0:j1, i0:i1]

    def of_grid(self, grid: Grid) -> Grid:
        """Return the grid of what is left."""
        origin = np.add(grid.origin_lps, np.multiply(self.first, grid.spacing_mm))
        slices, rows, columns = np.subtract(self.last, self.first)[::-1].tolist()
        return Grid((slices, rows, columns), grid.spacing_mm, tuple(origin.tolist()))

    def ends_inside(self, needle: ImplantNeedle, grid: Grid) -> int:
        """How many of a needle's ends are scanned."""
        ijk = grid.to_ijk(np.stack([needle.tip, needle.handle]))
        inside = (ijk > np.array(self.first) - 0.5) & (ijk < np.array(self.last) - 0.5)
        return int(inside.all(axis=1).sum())


def field_of_view(
    needles: Sequence[ImplantNeedle],
    settings: GridSettings,
    open_side: np.ndarray,
    grid: Grid,
    seed: int,
) -> FieldOfView:
    """Draw what is scanned: the whole grid, or for some cases too few slices, or too small a field.

    Parameters
    ----------
    open_side
        Unit vector towards the hubs, in the axial plane.
    """
    rng = np.random.default_rng([seed, _STREAM])
    size = np.array(grid.shape[::-1])
    whole = FieldOfView((0, 0, 0), tuple(size.tolist()))
    if rng.random() >= settings.cut_share or not needles:
        return whole
    axis = 2 if rng.random() < 0.5 else int(np.abs(open_side).argmax())
    at_high_end = rng.random() < 0.5 if axis == 2 else open_side[axis] > 0
    ends = np.stack([end for needle in needles for end in (needle.tip, needle.handle)])
    if axis != 2:
        ends = ends[1::2]
    along = grid.to_ijk(ends)[:, axis]
    lost = draw(rng, _LOST_SHARE)
    place = round(float(np.quantile(along, 1 - lost if at_high_end else lost)))
    least = _LEAST_SLICES if axis == 2 else int(_LEAST_SHARE * size[axis])
    first, last = list(whole.first), list(whole.last)
    if at_high_end:
        last[axis] = int(np.clip(place, min(least, size[axis]), size[axis]))
    else:
        first[axis] = int(np.clip(place, 0, max(size[axis] - least, 0)))
    return FieldOfView(tuple(first), tuple(last))
