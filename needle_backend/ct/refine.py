"""Place needles' ends between slices by following their shafts through them.

A tip seen on one 5 mm slice says where it lies in the plane, but along the patient only to the
slice. The shaft says more: where it passes from one slice to the next it crosses a known plane. The
line through these crossings gives both ends' z to a fraction of a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.special import ndtr

from needle_backend.core.needles import Needle, as_point
from needle_backend.core.volume import Volume

STEP_MM = 2.0
TIP_MARGIN_MM, HUB_MARGIN_MM = 4.0, 20.0
"""The ends' own surroundings are left to the network."""
ACROSS_MM = np.arange(-4.0, 4.1, 0.5)
CORE_MM, RING_MM = 1.0, 2.6
"""A shaft's brightness is the mean within the core above the mean beyond the ring."""
CLIP_HU, FLOOR_HU, SURE_HU = 800.0, 15.0, 50.0
NEIGHBOUR_MM = 2.0
NEIGHBOUR_SLICES = 1.9
"""Samples with another needle this near, in the plane and through the slices, say nothing."""
LEAST_WEIGHT = 3.0
EDGE_SIGMA_MM = 0.8
"""Softness of a slice's edge as a shaft sees it: its own radius and the slice profile."""
SAMPLE_SIGMA_MM = 3.5
"""Spread of a sample's centroid; large, because neighbouring samples err alike."""
DETECTED_SIGMA_SLICES = 0.3
BOW_SIGMA_MM = 0.6


@dataclass(frozen=True)
class ShaftProfile:
    """What was measured along one shaft.

    Attributes
    ----------
    along
        Where: 0 at the tip, 1 at the handle.
    z_mm
        Centroid, over three slices, of the brightness there.
    weight
        How much that says, 0..1.
    """

    along: np.ndarray
    z_mm: np.ndarray
    weight: np.ndarray


def refine_needles(
    needles: Sequence[Needle], tophat: np.ndarray, volume: Volume
) -> tuple[Needle, ...]:
    """Return the needles with both ends' z taken from the whole shaft, where it can be seen.

    Parameters
    ----------
    needles
        Ends as fused from the detections.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.
    """
    ends = np.array([(needle.tip_lps, needle.handle_lps) for needle in needles]).reshape(-1, 2, 3)
    refined = []
    for index, needle in enumerate(needles):
        tip, handle = refine_line(ends[index], np.delete(ends, index, axis=0), tophat, volume)
        refined.append(replace(needle, tip_lps=as_point(tip), handle_lps=as_point(handle)))
    return tuple(refined)


def refine_line(
    line_lps: np.ndarray, others_lps: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """Return a line (2, 3), tip and handle, with both ends' z as its shaft has them.

    ``others_lps`` are the other needles, (n, 2, 3). It stays as it is where too little is seen.
    """
    profile = shaft_profile(line_lps, others_lps, tophat, volume)
    if profile.weight.sum() < LEAST_WEIGHT:
        return line_lps
    z_mm = _fitted_z(profile, line_lps[:, 2], volume)
    return np.column_stack((line_lps[:, :2], z_mm))


def shaft_profile(
    ends: np.ndarray, others: np.ndarray, tophat: np.ndarray, volume: Volume
) -> ShaftProfile:
    """Measure one shaft's z at steps from tip to handle.

    Parameters
    ----------
    ends
        (2, 3) tip and handle, LPS mm.
    others
        (n, 2, 3) ends of the other needles.
    """
    length = float(np.linalg.norm(ends[1] - ends[0]))
    along = np.arange(TIP_MARGIN_MM, length - HUB_MARGIN_MM, STEP_MM) / max(length, 1.0)
    points = ends[0] + along[:, None] * (ends[1] - ends[0])
    slices = np.rint(volume.lps_to_ijk(points)[:, 2]).astype(int)[:, None] + np.arange(-1, 2)
    bright = _brightness(points, slices, ends, tophat, volume)
    total = bright.sum(1)
    centroid = (bright * slices).sum(1) / np.maximum(total, 1e-6)
    weight = np.clip(total / SURE_HU, 0, 1) * ~_near_another(points, others, volume.spacing_mm[2])
    return ShaftProfile(along, volume.origin_lps[2] + centroid * volume.spacing_mm[2], weight)


def _brightness(
    points: np.ndarray, slices: np.ndarray, ends: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """How far the shaft stands out at each point on each of its slices, (points, slices) HU."""
    axis = (ends[1] - ends[0])[:2]
    side = np.array([-axis[1], axis[0]]) / max(float(np.hypot(*axis)), 1e-6)
    xy = points[:, None, :2] + ACROSS_MM[:, None] * side
    columns, rows = np.moveaxis((xy - volume.origin_lps[:2]) / volume.spacing_mm[:2], -1, 0)
    inside = (slices >= 0) & (slices < len(tophat))
    values = _bilinear(tophat, np.clip(slices, 0, len(tophat) - 1), rows, columns)
    values = np.minimum(values, CLIP_HU)
    core, ring = np.abs(ACROSS_MM) <= CORE_MM, np.abs(ACROSS_MM) >= RING_MM
    above = values[..., core].mean(-1) - values[..., ring].mean(-1) - FLOOR_HU
    return np.maximum(above, 0) * inside


def _bilinear(
    array: np.ndarray, k: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Sample slices ``k`` (n, slices) at (n, offsets) places -> (n, slices, offsets)."""
    _, height, width = array.shape
    j = np.clip(np.floor(rows).astype(int), 0, height - 2)[:, None]
    i = np.clip(np.floor(columns).astype(int), 0, width - 2)[:, None]
    dj = np.clip(rows[:, None] - j, 0, 1)
    di = np.clip(columns[:, None] - i, 0, 1)
    k = k[:, :, None]
    upper = array[k, j, i] * (1 - di) + array[k, j, i + 1] * di
    lower = array[k, j + 1, i] * (1 - di) + array[k, j + 1, i + 1] * di
    return upper * (1 - dj) + lower * dj


def _near_another(points: np.ndarray, others: np.ndarray, slice_mm: float) -> np.ndarray:
    """Which points have another needle so near that its metal is mixed with theirs."""
    tip, axis = others[:, 0], others[:, 1] - others[:, 0]
    in_plane = np.maximum((axis[:, :2] ** 2).sum(-1), 1e-6)
    offset = points[:, None] - tip
    along = np.clip((offset[..., :2] * axis[:, :2]).sum(-1) / in_plane, -0.03, 1.05)
    gap = np.abs(offset - along[..., None] * axis)
    beside = np.hypot(gap[..., 0], gap[..., 1]) < NEIGHBOUR_MM
    return (beside & (gap[..., 2] < NEIGHBOUR_SLICES * slice_mm)).any(1)


def _fitted_z(profile: ShaftProfile, detected_z: np.ndarray, volume: Volume) -> tuple[float, float]:
    """Robust fit of both ends' z and a bow to the centroids that the slices show."""
    slice_mm = volume.spacing_mm[2]
    planes = volume.origin_lps[2] + slice_mm * np.arange(len(volume.array))
    sure = np.sqrt(profile.weight) / SAMPLE_SIGMA_MM
    bend = 4 * profile.along * (1 - profile.along)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        z_tip, z_handle, bow = parameters
        z = (1 - profile.along) * z_tip + profile.along * z_handle + bow * bend
        misfit = (slice_centroid(z, planes, slice_mm) - profile.z_mm) * sure
        moved = (parameters[:2] - detected_z) / (DETECTED_SIGMA_SLICES * slice_mm)
        return np.concatenate([misfit, moved, [bow / BOW_SIGMA_MM]])

    start = np.array([*detected_z, 0.0])
    fitted = least_squares(residuals, start, loss="soft_l1", diff_step=0.02, max_nfev=40)
    return float(fitted.x[0]), float(fitted.x[1])


def slice_centroid(z_mm: np.ndarray, planes_mm: np.ndarray, slice_mm: float) -> np.ndarray:
    """Centroid over slices of a thin thing at ``z_mm``: a staircase with soft edges."""
    gap = z_mm[:, None] - planes_mm
    share = ndtr((gap + slice_mm / 2) / EDGE_SIGMA_MM) - ndtr((gap - slice_mm / 2) / EDGE_SIGMA_MM)
    return (share * planes_mm).sum(1) / np.maximum(share.sum(1), 1e-6)
