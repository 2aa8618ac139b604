"""Fuse the ends seen on single slices into ends in the patient.

One end shows on one to three neighbouring slices. Fusing before matching, not after it, is what
makes the matching small and good.
"""

from __future__ import annotations

import numpy as np

from needle_backend.core.geometry import direction_of_angle, mean_angle_deg, wrap_deg
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import HANDLE, TIP, Ends, SliceEnds

REACH_MM = 6.0
"""Detections of one end lie this near to each other in the slice, along the needle."""
REACH_ACROSS_MM = 2.0
"""And this near across it: from slice to slice an end moves along a tilted needle, while the end of
a touching neighbour lies beside it."""
REACH_THROUGH_MM = {TIP: 5.0, HANDLE: 7.0}
"""How far through the slices an end is followed from where it shows best; at least one slice. A hub
is thicker than a tip."""
ANGLE_DEG = 15.0
"""Largest difference of direction; several times a detection's own angle error."""
DISK_MM = 3.0
RING_MM = (6.0, 9.0)
"""Contrast is the mean in a disk around the end above the median of a ring around that."""


def fuse_over_slices(slice_ends: SliceEnds, kind: int, volume: Volume) -> Ends:
    """Fuse the detections of one class that show the same end on neighbouring slices.

    Groups grow from the highest heatmap score and take at most one detection a slice, so that the
    ends of two needles seen on one slice are never fused. Position and direction are means weighted
    by contrast: the slice that holds more of the metal shows it brighter against what is around.
    (The published weights, HU above zero, mislead where an end stands in air or beside bone.)

    Parameters
    ----------
    slice_ends
        Detections of either class.
    kind
        The class to fuse.
    volume
        The CT that the detections were made on, HU.
    """
    ends = slice_ends.of_kind(kind)
    ends = ends.take(np.argsort(-ends.score, kind="stable"))
    spacing_x, spacing_y, spacing_z = volume.spacing_mm
    points_mm = np.column_stack((ends.column * spacing_x, ends.row * spacing_y))
    groups = _groups(ends, points_mm, reach_slices=max(1, int(REACH_THROUGH_MM[kind] / spacing_z)))
    ijk = np.column_stack((ends.column, ends.row, ends.slice_index))
    weights = _contrast_hu(ends, volume)
    centres = [np.average(ijk[group], axis=0, weights=weights[group]) for group in groups]
    return Ends(
        points_lps=volume.ijk_to_lps(np.array(centres, float).reshape(-1, 3)),
        angle_deg=np.array([mean_angle_deg(ends.angle_deg[g], weights[g]) for g in groups]),
        score=np.array([ends.score[g].max() for g in groups]),
        slice_count=np.array([len(g) for g in groups], int),
    )


def _groups(ends: SliceEnds, points_mm: np.ndarray, reach_slices: int) -> list[list[int]]:
    """Partition detections, which come best heatmap score first, into ends."""
    free = np.ones(len(ends), bool)
    groups = []
    for seed in range(len(ends)):
        if free[seed]:
            free[seed] = False
            above = _follow(ends, points_mm, free, seed, range(1, reach_slices + 1))
            below = _follow(ends, points_mm, free, seed, range(-1, -reach_slices - 1, -1))
            groups.append([seed, *above, *below])
    return groups


def _follow(
    ends: SliceEnds, points_mm: np.ndarray, free: np.ndarray, seed: int, steps: range
) -> list[int]:
    """Take the seed's end on slice after slice, until one does not show it; they become taken."""
    along = direction_of_angle(ends.angle_deg[seed])
    across = np.array([-along[1], along[0]])
    followed = []
    for step in steps:
        candidates = np.flatnonzero(free & (ends.slice_index == ends.slice_index[seed] + step))
        offset = points_mm[candidates] - points_mm[seed]
        distance = np.hypot(*offset.T)
        turned = np.abs(wrap_deg(ends.angle_deg[candidates] - ends.angle_deg[seed]))
        same = (distance <= REACH_MM) & (np.abs(offset @ across) <= REACH_ACROSS_MM)
        same &= turned <= ANGLE_DEG
        if not same.any():
            break
        nearest = int(candidates[same][np.argmin(distance[same])])
        free[nearest] = False
        followed.append(nearest)
    return followed


def _contrast_hu(ends: SliceEnds, volume: Volume) -> np.ndarray:
    """Return how far each detection stands out of its surroundings; at least 1, so it can weigh."""
    spacing_x, spacing_y, _ = volume.spacing_mm
    reach = int(np.ceil(RING_MM[1] / min(spacing_x, spacing_y)))
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(row * spacing_y, column * spacing_x)
    _, rows, columns = volume.array.shape

    def values(pixels: np.ndarray) -> np.ndarray:
        rows_near = np.rint(ends.row).astype(int)[:, None] + row[pixels]
        columns_near = np.rint(ends.column).astype(int)[:, None] + column[pixels]
        return volume.array[
            ends.slice_index[:, None],
            np.clip(rows_near, 0, rows - 1),
            np.clip(columns_near, 0, columns - 1),
        ].astype(float)

    ring = values((distance >= RING_MM[0]) & (distance <= RING_MM[1]))
    above = values(distance <= DISK_MM) - np.median(ring, axis=1, keepdims=True)
    return np.maximum(above.clip(min=0).mean(axis=1), 1.0)
