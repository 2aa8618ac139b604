"""What stands around needles: guide tubes, and implants that hold everything but needles.

Drawn from a stream of its own, so that settings without them make the same cases as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from needle_backend.core.settings import draw
from needle_backend.ct.training.anatomy import Background
from needle_backend.ct.training.implants import Implant
from needle_backend.ct.training.settings import PatientSettings
from needle_backend.ct.training.splat import Grid, Points, tube

_STREAM = 1
_INSIDE_MM = (1.0, 1.4)
_WALL_MM = (0.6, 1.6)
_LENGTH_MM = (20.0, 45.0)
_HU = (20.0, 350.0)
_STEP_MM = 0.6


@dataclass(frozen=True)
class GuideTube:
    """A plastic tube that a needle slides in, between two points outside the skin."""

    start: np.ndarray
    end: np.ndarray
    inner_mm: float
    outer_mm: float
    hu: float

    def points(self, background: Background, grid: Grid) -> Points:
        """Return the wall, HU above what it stands in: air, or the template's plate."""
        count = max(2, round(float(np.linalg.norm(self.end - self.start)) / _STEP_MM))
        axis = np.linspace(self.start, self.end, count)
        i, j, k = _nearest(axis, grid)
        above = np.maximum(self.hu - background.hu[k, j, i], 0.0)
        return tube(axis, self.outer_mm, above, rings=2, inner_mm=self.inner_mm)


def guide_tubes(
    implant: Implant, settings: PatientSettings, background: Background, grid: Grid, seed: int
) -> tuple[GuideTube, ...]:
    """Draw tubes around the needles' paths where they leave the skin, for some of the cases."""
    rng = np.random.default_rng([seed, _STREAM])
    if rng.random() >= settings.guide_tube_share:
        return ()
    inner_mm, wall_mm = draw(rng, _INSIDE_MM), draw(rng, _WALL_MM)
    length_mm, hu = draw(rng, _LENGTH_MM), draw(rng, _HU)
    tubes = []
    for needle in implant.needles:
        path = np.linspace(needle.tip, needle.handle, 120)
        i, j, k = _nearest(path, grid)
        skin = path[int(np.flatnonzero(background.body[k, j, i]).max(initial=0))]
        start = skin + draw(rng, (1, 6)) * needle.direction
        room_mm = float((needle.handle - start) @ needle.direction) - 0.5 * needle.hub_length_mm
        if room_mm > 8:
            end = start + min(length_mm, room_mm - 2) * needle.direction
            tubes.append(GuideTube(start, end, inner_mm, inner_mm + wall_mm, hu))
    return tuple(tubes)


def without_needles(implant: Implant, settings: PatientSettings, seed: int) -> Implant:
    """Take the needles out of some of the implants; seeds and template stay."""
    bare = np.random.default_rng([seed, _STREAM + 1]).random() < settings.bare_share
    return replace(implant, needles=()) if bare else implant


def _nearest(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the voxels nearest to points: columns, rows and slices, (3, n)."""
    last = np.array(grid.shape[::-1]) - 1
    return np.clip(np.rint(grid.to_ijk(points)).astype(int), 0, last).T
