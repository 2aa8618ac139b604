"""Render thin metal into a thick-slice CT: points with mass, dropped into voxels.

A needle 1.3 mm thick in slices of 5 mm is all partial volume. Every object is cut into points that
carry (HU above its surroundings) x volume; a voxel's value is the mass it holds divided by its own
volume, so partial volume along all three axes comes out exactly, whatever the object's direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Where a simulated volume lies: sizes and LPS geometry without the values."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_lps: tuple[float, float, float]

    def to_ijk(self, points_lps: np.ndarray) -> np.ndarray:
        """Map LPS mm to continuous (column, row, slice)."""
        return (points_lps - self.origin_lps) / self.spacing_mm

    def axes_mm(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxel-centre coordinates along x, y and z."""
        counts = self.shape[::-1]
        x, y, z = (
            origin + spacing * np.arange(count)
            for origin, spacing, count in zip(self.origin_lps, self.spacing_mm, counts, strict=True)
        )
        return x, y, z


@dataclass(frozen=True)
class Points:
    """Sample points, (n, 3) LPS mm, and their mass in HU mm^3, (n,)."""

    xyz: np.ndarray
    mass: np.ndarray


def joined(points: Sequence[Points]) -> Points:
    """Put several sets of points into one."""
    return Points(
        np.concatenate([some.xyz for some in points]),
        np.concatenate([some.mass for some in points]),
    )


def splat(points: Points, grid: Grid, out: np.ndarray) -> None:
    """Add points to ``out`` [slice, row, column] in HU: linear in the plane, box along z."""
    ijk = grid.to_ijk(points.xyz)
    value = points.mass / np.prod(grid.spacing_mm)
    k = np.rint(ijk[:, 2]).astype(int)
    corner = np.floor(ijk[:, :2]).astype(int)
    part = ijk[:, :2] - corner
    slices, rows, columns = grid.shape
    for dj in (0, 1):
        for di in (0, 1):
            weight = (part[:, 0] if di else 1 - part[:, 0]) * (part[:, 1] if dj else 1 - part[:, 1])
            i, j = corner[:, 0] + di, corner[:, 1] + dj
            inside = (i >= 0) & (i < columns) & (j >= 0) & (j < rows) & (k >= 0) & (k < slices)
            flat = (k[inside] * rows + j[inside]) * columns + i[inside]
            np.add.at(out.reshape(-1), flat, (value * weight)[inside])


def tube(
    axis: np.ndarray,
    radius_mm: float,
    hu: np.ndarray | float,
    rings: int = 1,
    inner_mm: float = 0.0,
) -> Points:
    """Fill a tube around a polyline with points.

    Parameters
    ----------
    axis
        (n, 3) LPS mm, evenly spaced.
    radius_mm, inner_mm
        Outer radius, and the radius of an empty core.
    hu
        HU above the surroundings, a number or one value a point of the axis.
    rings
        How many rings of points the cross-section is made of.
    """
    step = np.linalg.norm(axis[1] - axis[0])
    direction = (axis[-1] - axis[0]) / np.linalg.norm(axis[-1] - axis[0])
    side = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(direction, side)
    edges = np.linspace(inner_mm, radius_mm, rings + 1)
    offsets, areas = [], []
    for lo, hi in zip(edges[:-1], edges[1:], strict=True):
        count = max(6, round(2 * np.pi * hi / 0.7))
        angle = 2 * np.pi * (np.arange(count) + 0.5) / count
        middle = np.sqrt((lo**2 + hi**2) / 2)
        offsets.append(middle * (np.outer(np.cos(angle), side) + np.outer(np.sin(angle), up)))
        areas.append(np.full(count, np.pi * (hi**2 - lo**2) / count))
    offset, area = np.concatenate(offsets), np.concatenate(areas)
    xyz = (axis[:, None] + offset[None]).reshape(-1, 3)
    strength = np.broadcast_to(np.asarray(hu, float), len(axis))
    return Points(xyz, (strength[:, None] * area[None] * step).reshape(-1))
