"""Follow shafts from handles: where a needle may go whose tip was not detected.

A hub is hard to miss and shows roughly where its needle points. Straight and slightly bowed lines
fan out from it; the brightest in the top-hat is its shaft, or that of a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import direction_of_angle
from needle_backend.ct.ends import Ends
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.shaft import BOW_COST_HU, CLIP_HU

TURNS_DEG = np.arange(-9.0, 9.5, 1.5)
TILTS_DEG = np.arange(-24.0, 24.5, 3.0)
"""The fan: in the slice around the direction seen at the hub, and out of the slice."""
BOWS_MM = (-2.0, 0.0, 2.0)
BOW_LENGTH_MM = 180.0
DISTANCES_MM = np.arange(26.0, 130.0, 5.0)
"""Where the fan is sampled: past the hub, and not beyond the shortest needle's tip."""
DARK = len(DISTANCES_MM) // 8
"""So many samples may be darker than what counts, beside the mean, for the merit."""
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


def trace_shafts(handles: Ends, chosen: np.ndarray, tophat: TopHat) -> Rays:
    """Look for the brightest shafts that leave some handles.

    Parameters
    ----------
    handles
        Fused handles.
    chosen
        Indices of those to follow.
    tophat
        White top-hat of the CT.
    """
    directions = _directions(handles.angle_deg[chosen, None, None], TURNS_DEG[:, None], TILTS_DEG)
    merit = _merit(handles.points_lps[chosen], directions, tophat)
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


def _merit(starts_lps: np.ndarray, directions: np.ndarray, tophat: TopHat) -> np.ndarray:
    """Return how bright the brightest bow along each line of the fan is, (n, turns, tilts) HU."""
    volume = tophat.volume
    start = volume.lps_to_ijk(starts_lps).T.astype(np.float32)
    step = np.moveaxis(directions / volume.spacing_mm, -1, 0).astype(np.float32)
    straight = start[..., None, None, None] + step[..., None] * DISTANCES_MM.astype(np.float32)
    column, row, slice_index = straight + np.float32(0.5)
    slices, rows, columns = tophat.array.shape
    values = tophat.array.reshape(-1)
    inside = (slice_index > -0.1) & (slice_index < slices + 0.1)
    first = np.clip(slice_index.astype(np.int32), 0, slices - 1) * (rows * columns)
    spacing_x, spacing_y, _ = volume.spacing_mm
    across = (-directions[..., 1, None] / spacing_x, directions[..., 0, None] / spacing_y)
    merits = []
    for bow_mm in BOWS_MM:
        bend = bow_mm * np.sin(np.pi * DISTANCES_MM / BOW_LENGTH_MM)
        bent_column, bent_row = (np.asarray(a * bend, np.float32) for a in across)
        i = np.clip((column + bent_column).astype(np.int32), 0, columns - 1)
        j = np.clip((row + bent_row).astype(np.int32), 0, rows - 1)
        hu = np.minimum(values.take(first + j * columns + i).astype(np.float32), CLIP_HU) * inside
        dark = np.partition(hu, DARK, axis=-1)[..., DARK]
        merits.append(hu.mean(axis=-1) + 0.5 * dark - BOW_COST_HU * abs(bow_mm))
    return np.max(merits, axis=0)


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
    return float(at[top] + min(max(part, -0.5), 0.5) * (at[1] - at[0]))
