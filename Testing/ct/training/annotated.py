"""A small CT with needles in it, as a hospital might annotate it: tissue below, air above."""

from __future__ import annotations

import numpy as np

from needle_backend.core.needles import Needle, as_point
from needle_backend.core.volume import Volume

SPACING_MM = (1.0, 1.0, 5.0)
ORIGIN_LPS = (-60.0, -90.0, 30.0)
SKIN_ROW = 70


def straight_needle(column: float, k: float, length_mm: float = 130.0) -> Needle:
    """A needle that stands upright in slice ``k``: tip in the tissue, hub in air."""
    grid = Volume(np.zeros((1, 1, 1)), SPACING_MM, ORIGIN_LPS)
    tip, handle = grid.ijk_to_lps(np.array([[column, 20.0 + length_mm, k], [column, 20.0, k]]))
    return Needle(as_point(tip), as_point(handle))


def volume_with(needles: list[Needle]) -> Volume:
    """Render upright needles as a bright shaft of one pixel and a hub of 7 x 24."""
    array = np.full((6, 180, 120), -1000, np.int16)
    array[:, SKIN_ROW:] = 40
    volume = Volume(array, SPACING_MM, ORIGIN_LPS, "drawn")
    for needle in needles:
        ends = volume.lps_to_ijk(np.array([needle.tip_lps, needle.handle_lps]))
        (i, tip_row, k), (_, hub_row, _) = np.rint(ends).astype(int)
        array[k, hub_row : tip_row + 1, i] = 600
        array[k, hub_row - 12 : hub_row + 13, i - 3 : i + 4] = 300
    return volume
