"""Any array with any placement in the patient becomes a volume along L, P and S."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.hounsfield import AIR_HU, as_hounsfield
from needle_backend.core.needles import as_point
from needle_backend.core.volume import Volume

MAX_TILT_DEG = 30.0
"""Scanner gantries tilt no further; beyond it, which axis is the slices' becomes a guess."""

STRAIGHT_WITHIN_MM = 0.1
"""A tilt that moves no voxel further than this is rounding in a header, not a tilt."""

MAX_VOXELS = 600_000_000
SPACING_LIMITS_MM = (0.1, 15.0)


def volume_from_array(array_kji: np.ndarray, ijk_to_lps: np.ndarray, source: str) -> Volume:
    """Place an array in the patient, turned to the closest LPS orientation.

    Axes are permuted and flipped, which changes no voxel; a volume that is still tilted or sheared
    then (oblique acquisition, gantry tilt) is resampled linearly, with air around it.

    Parameters
    ----------
    array_kji
        Values, shape (slices, rows, columns), in any orientation.
    ijk_to_lps
        4 x 4 matrix from indices (column, row, slice) to LPS mm; may be sheared.
    source
        What to call the volume in messages.

    Raises
    ------
    InputError
        When the array is no volume with contrast, its size or voxel size is out of bounds, or it is
        tilted by more than :data:`MAX_TILT_DEG`.
    """
    array_kji = np.asarray(array_kji)
    ijk_to_lps = np.asarray(ijk_to_lps, float)
    _check_shape(array_kji.shape, source)
    _check_placement(ijk_to_lps, source)
    array, warnings = as_hounsfield(array_kji, source)
    array, axes, origin = _closest_lps(array, ijk_to_lps)
    spacing = np.linalg.norm(axes, axis=0)
    tilt_deg = float(np.degrees(np.arccos(np.clip(np.diag(axes) / spacing, -1, 1)).max()))
    # Straightened about its centre, the volume's corners move furthest.
    half_size = (np.array(array.shape[::-1]) - 1) / 2
    bend = axes - np.diag(spacing)
    moved_mm = max(np.linalg.norm(bend @ (half_size * s)) for s in product((-1, 1), repeat=3))
    if moved_mm <= STRAIGHT_WITHIN_MM:
        origin = origin + bend @ half_size
    elif tilt_deg <= MAX_TILT_DEG:
        array, origin = _resampled(array, axes, origin, spacing, source)
        warnings += (
            f"{source}: its axes are tilted by {tilt_deg:.1f} degrees against the patient's, so it "
            "was resampled.",
        )
    else:
        raise InputError(
            f"{source} is tilted by {tilt_deg:.0f} degrees against the patient's axes; at most "
            f"{MAX_TILT_DEG:.0f} can be handled, so reformat it to axial slices first."
        )
    array = np.ascontiguousarray(array)
    return Volume(array, as_point(spacing), as_point(origin), source, warnings)


def _check_shape(shape: tuple[int, ...], source: str) -> None:
    if len(shape) != 3:
        raise InputError(
            f"{source} is an image of {len(shape)} dimensions; a single CT volume (3D) is needed."
        )
    if min(shape) < 2:
        raise InputError(
            f"{source} has {' x '.join(map(str, shape[::-1]))} voxels; a CT volume of several "
            "slices is needed."
        )
    voxels = np.prod([float(size) for size in shape])
    if voxels > MAX_VOXELS:
        raise InputError(
            f"{source} has {voxels / 1e6:.0f} million voxels, more than the {MAX_VOXELS / 1e6:.0f} "
            "million that can be handled; crop it to the needles."
        )


def _check_placement(ijk_to_lps: np.ndarray, source: str) -> None:
    if ijk_to_lps.shape != (4, 4) or not np.isfinite(ijk_to_lps).all():
        raise InputError(f"{source} does not say where it lies in the patient; export it again.")
    spacing = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    lowest, highest = SPACING_LIMITS_MM
    if spacing.min() < lowest or spacing.max() > highest:
        raise InputError(
            f"{source} has voxels of {' x '.join(f'{size:g}' for size in spacing)} mm; a CT's "
            f"measure {lowest:g} to {highest:g} mm, so its header cannot be right."
        )
    if abs(np.linalg.det(ijk_to_lps[:3, :3] / spacing)) < 0.1:
        raise InputError(f"{source} has axes that lie in one plane; its header cannot be right.")


def _closest_lps(
    array: np.ndarray, ijk_to_lps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Permute and flip to the closest LPS; return the array, its axes (columns) and its origin."""
    axes, origin = ijk_to_lps[:3, :3], ijk_to_lps[:3, 3]
    share = np.abs(axes / np.linalg.norm(axes, axis=0))
    order = list(
        max(permutations(range(3)), key=lambda order: sum(share[x, order[x]] for x in range(3)))
    )
    axes = axes[:, order]
    array = array.transpose([2 - order[2], 2 - order[1], 2 - order[0]])
    for x in range(3):
        if axes[x, x] < 0:
            origin = origin + axes[:, x] * (array.shape[2 - x] - 1)
            axes[:, x] = -axes[:, x]
            array = np.flip(array, axis=2 - x)
    return array, axes, origin


def _resampled(
    array: np.ndarray, axes: np.ndarray, origin: np.ndarray, spacing: np.ndarray, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Resample to straight axes over the bounding box; return the new array and origin."""
    import SimpleITK as sitk

    last = np.array(array.shape[::-1]) - 1
    corners = np.array([axes @ (last * s) for s in product((0, 1), repeat=3)]) + origin
    size = np.ceil(np.ptp(corners, axis=0) / spacing - 1e-6).astype(int) + 1
    _check_shape(tuple(size[::-1]), source)
    # The image is given to ITK in index space and the placement as a transform: ITK's own image
    # direction cannot express a shear.
    to_index = sitk.AffineTransform(3)
    inverse = np.linalg.inv(axes)
    to_index.SetMatrix(inverse.ravel().tolist())
    to_index.SetTranslation((-inverse @ origin).tolist())
    resampled = sitk.Resample(
        sitk.GetImageFromArray(np.ascontiguousarray(array)),
        size.tolist(),
        to_index,
        sitk.sitkLinear,
        corners.min(axis=0).tolist(),
        spacing.tolist(),
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        float(AIR_HU),
    )
    return sitk.GetArrayFromImage(resampled), corners.min(axis=0)
