"""Follow shafts from handles: where a needle may go whose tip was not detected.

A hub is hard to miss and shows roughly where its needle points. Straight and slightly bowed lines
fan out from it; the brightest in the top-hat is its shaft, or that of a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import direction_of_angle
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import Ends
from needle_backend.ct.shaft import BOW_COST_HU, CLIP_HU

TURNS_DEG = np.arange(-9.0, 9.5, 1.5)
TILTS_DEG = np.arange(-24.0, 24.5, 3.0)
"""The fan: in the slice around the direction seen at the hub, and out of the slice."""
BOWS_MM = (-2.0, 0.0, 2.0)
BOW_LENGTH_MM = 180.0
DISTANCES_MM = np.arange(26.0, 130.0, 5.0)
"""Where the fan is sampled: past the hub, and not beyond the shortest needle's tip."""
DARK_SHARE = 8
"""One in so many samples may be darker than what counts, beside the mean, for the merit."""
TURN_COST_HU = 1.0
LEAST_MERIT_HU = 60.0
KEPT = 2
APART = 1
"""Best directions kept a handle, more than so many steps of the fan apart."""


@dataclass(frozen=True)
class Rays:
    """Directions of shafts seen from handles, n of them.

    Attributes
    ----------
    handle
        Index of the handle, (n,).
    direction
        Unit vectors from the handle towards the tip, (n, 3) LPS.
    """

    handle: np.ndarray
    direction: np.ndarray


def trace_shafts(handles: Ends, chosen: np.ndarray, tophat: np.ndarray, volume: Volume) -> Rays:
    """Look for the brightest shafts that leave some handles.

    Parameters
    ----------
    handles
        Fused handles.
    chosen
        Indices of those to follow.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.
    """
    directions = _directions(handles.angle_deg[chosen, None, None], TURNS_DEG[:, None], TILTS_DEG)
    merit = np.max(
        [_merit(handles, chosen, directions, b, tophat, volume) for b in BOWS_MM], axis=0
    )
    merit -= TURN_COST_HU * np.abs(TURNS_DEG)[:, None]
    found_handle, found_direction = [], []
    for place, handle in enumerate(chosen):
        for turn_deg, tilt_deg in _peaks(merit[place]):
            found_handle.append(handle)
            found_direction.append(_directions(handles.angle_deg[handle], turn_deg, tilt_deg))
    return Rays(np.array(found_handle, int), np.array(found_direction, float).reshape(-1, 3))


def _directions(
    angle_deg: np.ndarray | float, turn_deg: np.ndarray | float, tilt_deg: np.ndarray | float
) -> np.ndarray:
    """Return unit vectors (..., 3) LPS turned in the slice from an angle, and tilted out of it."""
    turned_deg, tilt = np.broadcast_arrays(np.add(angle_deg, turn_deg), np.deg2rad(tilt_deg))
    flat = direction_of_angle(turned_deg) * np.cos(tilt)[..., None]
    return np.concatenate((flat, np.sin(tilt)[..., None]), axis=-1)


def _merit(
    handles: Ends,
    chosen: np.ndarray,
    directions: np.ndarray,
    bow_mm: float,
    tophat: np.ndarray,
    volume: Volume,
) -> np.ndarray:
    """Return how bright the lines of the fan are when bowed so much, (n, turns, tilts) HU."""
    steps = (directions / volume.spacing_mm).astype(np.float32)
    start = volume.lps_to_ijk(handles.points_lps[chosen]).astype(np.float32)[:, None, None, None]
    bend = (bow_mm * np.sin(np.pi * DISTANCES_MM / BOW_LENGTH_MM)).astype(np.float32)
    distance = DISTANCES_MM.astype(np.float32)

    def along(axis: int, across: np.ndarray | float) -> np.ndarray:
        return start[..., axis] + steps[..., axis, None] * distance + across * bend

    spacing_x, spacing_y, _ = volume.spacing_mm
    column = along(0, (-directions[..., 1, None] / spacing_x).astype(np.float32))
    row = along(1, (directions[..., 0, None] / spacing_y).astype(np.float32))
    slice_index = along(2, 0.0)
    slices, rows, columns = tophat.shape
    i = np.clip(np.rint(column), 0, columns - 1).astype(np.int32)
    j = np.clip(np.rint(row), 0, rows - 1).astype(np.int32)
    k = np.clip(np.rint(slice_index), 0, slices - 1).astype(np.int32)
    hu = np.minimum(tophat.reshape(-1)[(k * rows + j) * columns + i], CLIP_HU).astype(np.float32)
    hu *= (slice_index > -0.6) & (slice_index < slices - 0.4)
    dark = np.partition(hu, hu.shape[-1] // DARK_SHARE, axis=-1)[..., hu.shape[-1] // DARK_SHARE]
    return hu.mean(axis=-1) + 0.5 * dark - BOW_COST_HU * abs(bow_mm)


def _peaks(merit: np.ndarray) -> list[tuple[float, float]]:
    """Return turn and tilt, degrees, of the best lines of one fan, apart from each other."""
    left = merit.copy()
    peaks = []
    for _ in range(KEPT):
        turn, tilt = np.unravel_index(left.argmax(), left.shape)
        if left[turn, tilt] < LEAST_MERIT_HU:
            break
        turn_deg = _summit(TURNS_DEG, merit[:, tilt], int(turn))
        peaks.append((turn_deg, _summit(TILTS_DEG, merit[turn], int(tilt))))
        left[max(0, turn - APART) : turn + APART + 1, max(0, tilt - APART) : tilt + APART + 1] = 0
    return peaks


def _summit(at: np.ndarray, height: np.ndarray, top: int) -> float:
    """Return where the parabola through the highest value and its two neighbours peaks."""
    if not 0 < top < len(at) - 1:
        return float(at[top])
    before, here, after = height[top - 1 : top + 2]
    curve = before - 2 * here + after
    part = 0.5 * (before - after) / curve if curve < 0 else 0.0
    return float(at[top] + np.clip(part, -0.5, 0.5) * (at[1] - at[0]))
