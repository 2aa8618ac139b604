"""Per-slice labels of annotated needles: from their geometry, or from a label map's own marks.

Nobody knows how much of an annotated needle's metal lies in which slice, so the rule of simulated
cases (:mod:`needle_backend.ct.training.labels`) becomes one of geometry: an end shows on a slice
that its metal reaches into.
"""

from __future__ import annotations

import numpy as np

from needle_backend.core.geometry import polar_angle_deg
from needle_backend.core.needles import Needle
from needle_backend.core.volume import Volume
from needle_backend.ct.training.labels import SliceEnd

TIP_MM = 4.0
"""Where only shaft further than this from the tip lies in a slice, that slice shows no tip."""
HUB_MM = 7.0
"""Likewise for the part of the hub around its centre."""
SHAFT_REACH_MM = 0.3
HUB_REACH_MM = 2.2
"""How far metal reaches out from the axis into the next slice and is seen there: about half a
shaft's radius, most of a hub's. On simulated cases this agrees well with the rule for those."""


def label_from_geometry(needle: Needle, index: int, volume: Volume) -> list[SliceEnd]:
    """Label both ends of one needle on every slice that they reach into.

    Parameters
    ----------
    needle
        With ends in LPS mm.
    index
        The needle's place in truth.json.
    volume
        The CT; only its grid is looked at.

    Returns
    -------
    list of SliceEnd
        A tip lies where the metal ends on its slice, a handle at the hub's centre. Empty for ends
        beyond the first or the last slice.
    """
    tip, handle = np.array(needle.tip_lps), np.array(needle.handle_lps)
    direction = (handle - tip) / needle.length_mm
    tip_depths = np.arange(0.0, TIP_MM, 0.1)
    hub_depths = needle.length_mm + np.arange(-HUB_MM, HUB_MM, 0.1)
    labels = []
    for k in range(len(volume.array)):
        z = volume.origin_lps[2] + k * volume.spacing_mm[2]
        half = 0.5 * volume.spacing_mm[2]
        seen = np.abs(tip[2] + tip_depths * direction[2] - z) <= half + SHAFT_REACH_MM
        if seen.any():
            end = tip + tip_depths[seen][0] * direction
            labels.append(slice_end("tip", index, k, end, direction, volume))
        if (np.abs(tip[2] + hub_depths * direction[2] - z) <= half + HUB_REACH_MM).any():
            labels.append(slice_end("handle", index, k, handle, -direction, volume))
    return labels


def slice_end(
    kind: str, index: int, k: int, point_lps: np.ndarray, towards_other: np.ndarray, volume: Volume
) -> SliceEnd:
    """Label a point on slice ``k``; its angle is that of the vector towards the other end."""
    column, row, _ = volume.lps_to_ijk(point_lps)
    angle = float(polar_angle_deg(towards_other))
    return SliceEnd(kind, index, k, float(column), float(row), angle)
