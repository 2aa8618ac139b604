"""A CT volume in memory: an array and where it lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Volume:
    """An image whose axes run along the patient's L, P and S directions.

    Attributes
    ----------
    array
        Values indexed [slice, row, column]; HU for a CT, int16 or float32.
    spacing_mm
        Distance of neighbouring voxels along (column, row, slice) = (x, y, z).
    origin_lps
        Centre of voxel (0, 0, 0) in LPS millimetres.
    source
        What to call this volume in messages (a path or a node's name).
    warnings
        Sentences about what reading had to change or could not tell.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    origin_lps: tuple[float, float, float]
    source: str = ""
    warnings: tuple[str, ...] = field(default=())

    def ijk_to_lps(self, ijk: np.ndarray) -> np.ndarray:
        """Map indices (column, row, slice), shape (..., 3), to LPS millimetres."""
        return np.asarray(ijk, float) * self.spacing_mm + self.origin_lps

    def lps_to_ijk(self, points_lps: np.ndarray) -> np.ndarray:
        """Map LPS millimetres, shape (..., 3), to continuous indices (column, row, slice)."""
        return (np.asarray(points_lps, float) - self.origin_lps) / self.spacing_mm
