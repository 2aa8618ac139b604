"""Gas in tissue: air drawn in along needles, and bubbles that lie loose.

Drawn from a stream of its own, so that settings without it make the same cases as before.
"""

from __future__ import annotations

import numpy as np

from needle_backend.core.settings import draw
from needle_backend.ct.training.anatomy import AIR_HU, Background, body_spot
from needle_backend.ct.training.implants import Implant, ImplantNeedle
from needle_backend.ct.training.settings import PatientSettings
from needle_backend.ct.training.splat import Grid, Points

_STREAM = 5
_STEP_MM = 0.5
_BESIDE_NEEDLES_SHARE = 0.3
_RADIUS_MM = (0.8, 3.5)
_LOOSE_RADIUS_MM = (1.0, 5.0)


def gas(
    implant: Implant, settings: PatientSettings, background: Background, grid: Grid, seed: int
) -> list[Points]:
    """Draw bubbles for some of the cases: rows of them beside shafts, and loose clusters.

    Returns
    -------
    list of Points
        HU below what they replace.
    """
    rng = np.random.default_rng([seed, _STREAM])
    if rng.random() >= settings.gas_share:
        return []
    centres = [
        (centre, draw(rng, _RADIUS_MM))
        for needle in implant.needles
        if rng.random() < _BESIDE_NEEDLES_SHARE
        for centre in _beside(needle, rng)
    ]
    for _ in range(int(rng.integers(0, 4))):
        middle = body_spot(background, grid, rng)
        spread = draw(rng, (3, 14))
        centres += [
            (middle + rng.normal(0, spread, 3), draw(rng, _LOOSE_RADIUS_MM))
            for _ in range(int(rng.integers(2, 12)))
        ]
    inside = [place for place in centres if _value(background.body, place[0], grid)]
    return [_bubble(centre, radius, background, grid) for centre, radius in inside]


def _beside(needle: ImplantNeedle, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw a row of places along a stretch of a shaft."""
    length_mm = float(np.linalg.norm(needle.handle - needle.tip))
    start, reach = draw(rng, (0.0, 0.7)) * length_mm, draw(rng, (4, 35))
    count = int(rng.integers(1, 7))
    away = rng.normal(0, 1.5, (count, 3))
    depth = start + reach * rng.random(count)
    return list(needle.tip + depth[:, None] * needle.direction + away)


def _bubble(centre: np.ndarray, radius_mm: float, background: Background, grid: Grid) -> Points:
    """Fill a ball with points that take away what tissue reads above air."""
    count = int(radius_mm / _STEP_MM)
    reach = _STEP_MM * np.arange(-count, count + 1)
    offsets = np.stack(np.meshgrid(reach, reach, reach), axis=-1).reshape(-1, 3)
    xyz = centre + offsets[np.linalg.norm(offsets, axis=1) <= radius_mm]
    below = AIR_HU - _value(background.hu, centre, grid)
    return Points(xyz, np.full(len(xyz), below * _STEP_MM**3))


def _value(array: np.ndarray, point: np.ndarray, grid: Grid) -> float:
    """Return the nearest voxel's value, 0 outside."""
    i, j, k = np.rint(grid.to_ijk(point)).astype(int)
    slices, rows, columns = array.shape
    inside = 0 <= i < columns and 0 <= j < rows and 0 <= k < slices
    return float(array[k, j, i]) if inside else 0.0
