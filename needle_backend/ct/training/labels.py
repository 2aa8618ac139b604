"""Per-slice labels: on which slices a needle's tip and handle can be seen, and where.

An annotator marks an end on every slice where it shows. It shows where the end's share of the
slice, blurred by the scanner, exceeds 50 HU; its position there is the end of the metal visible on
that slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.ct.training.hubs import hub_points
from needle_backend.ct.training.implants import ImplantNeedle
from needle_backend.ct.training.metal import shaft_points
from needle_backend.ct.training.splat import Grid, Points

VISIBLE_HU = 50.0
_TIP_REACH_MM = 4.0
_HUB_REACH_MM = 7.0


@dataclass(frozen=True)
class SliceEnd:
    """One labelled end on one slice; the angle as in :class:`needle_backend.ct.ends.SliceEnds`."""

    kind: str
    needle: int
    slice: int
    column: float
    row: float
    angle_deg: float


def label_needle(
    needle: ImplantNeedle, index: int, grid: Grid, psf_sigma_mm: float
) -> list[SliceEnd]:
    """Label both ends of one needle on every slice where they show."""
    towards_handle = needle.handle - needle.tip
    tip_angle = float(np.rad2deg(np.arctan2(-towards_handle[1], towards_handle[0])))
    handle_angle = (tip_angle + 360.0) % 360.0 - 180.0
    labels = []
    for k, point in _visible_tips(needle, grid, psf_sigma_mm):
        i, j, _ = grid.to_ijk(point)
        labels.append(SliceEnd("tip", index, k, float(i), float(j), tip_angle))
    for k in _visible_hubs(needle, grid):
        i, j, _ = grid.to_ijk(needle.handle)
        labels.append(SliceEnd("handle", index, k, float(i), float(j), handle_angle))
    _, rows, columns = grid.shape
    return [label for label in labels if 0 <= label.column < columns and 0 <= label.row < rows]


def _visible_tips(
    needle: ImplantNeedle, grid: Grid, psf_sigma_mm: float
) -> list[tuple[int, np.ndarray]]:
    """Slices on which the shaft's last millimetres show, and the most distal point on each."""
    points = shaft_points(needle)
    depth = (points.xyz - needle.tip) @ needle.direction
    near = depth < _TIP_REACH_MM
    depth, points = depth[near], Points(points.xyz[near], points.mass[near])
    found = []
    for k, on_slice in _by_slice(points, grid):
        visible = on_slice & (depth < depth[on_slice].min() + _TIP_REACH_MM)
        per_mm = points.mass[visible].sum() / _TIP_REACH_MM
        sigma = np.hypot(psf_sigma_mm, 0.4 * grid.spacing_mm[0])
        at_end = 0.5 * per_mm / (grid.spacing_mm[2] * np.sqrt(2 * np.pi) * sigma)
        if at_end > VISIBLE_HU:
            end = needle.tip + max(0.0, float(depth[on_slice].min())) * needle.direction
            found.append((k, end))
    return found


def _visible_hubs(needle: ImplantNeedle, grid: Grid) -> list[int]:
    points = hub_points(needle)
    along = np.abs((points.xyz - needle.handle) @ needle.direction)
    near = along < _HUB_REACH_MM
    points = Points(points.xyz[near], points.mass[near])
    found = []
    for k, on_slice in _by_slice(points, grid):
        area = 2 * _HUB_REACH_MM * 2 * needle.hub_radius_mm
        if points.mass[on_slice].sum() / (area * grid.spacing_mm[2]) > VISIBLE_HU:
            found.append(k)
    return found


def _by_slice(points: Points, grid: Grid) -> list[tuple[int, np.ndarray]]:
    k = np.rint(grid.to_ijk(points.xyz)[:, 2]).astype(int)
    return [(int(s), k == s) for s in np.unique(k) if 0 <= s < grid.shape[0]]
