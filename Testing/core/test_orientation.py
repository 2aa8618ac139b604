from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.orientation import MAX_TILT_DEG, volume_from_array

SPACING_MM = np.array([0.8, 0.9, 5.0])


def placement(direction=None, origin=(-100.0, -50.0, 20.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if direction is None else direction) * SPACING_MM
    matrix[:3, 3] = origin
    return matrix


def rotation(degrees, axis):
    angle = np.radians(degrees)
    a, b = [i for i in range(3) if i != axis]
    turn = np.eye(3)
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    return turn


def rod(matrix, shape, start, end):
    """An array with a soft rod of 4 mm radius between two points in LPS mm."""
    k, j, i = np.indices(shape)
    points = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    start, along = np.array(start), np.subtract(end, start)
    share = np.clip((points - start) @ along / (along @ along), 0, 1)
    distance = np.linalg.norm(points - start - share[..., None] * along, axis=-1)
    return (-1000 + 3000 * np.exp(-((distance / 4.0) ** 2))).astype(np.int16)


def centre_of_metal(volume):
    weights = np.clip(volume.array.astype(float), 0, None)
    k, j, i = (index.ravel() for index in np.indices(weights.shape))
    points = volume.ijk_to_lps(np.stack([i, j, k], axis=-1))
    return weights.ravel() @ points / weights.sum()


@given(
    order=st.sampled_from(list(permutations(range(3)))),
    flips=st.sampled_from(list(product((False, True), repeat=3))),
)
def test_permuted_and_flipped_arrays_give_the_same_volume(order, flips):
    array = np.random.default_rng(1).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    matrix = placement()
    # Index axis a of the stored array runs along axis order[a] of the original, perhaps backwards.
    stored = array.transpose([2 - order[2], 2 - order[1], 2 - order[0]])
    stored_matrix = matrix.copy()
    stored_matrix[:3, :3] = matrix[:3, :3][:, order]
    for a in range(3):
        if flips[a]:
            stored_matrix[:3, 3] += stored_matrix[:3, a] * (stored.shape[2 - a] - 1)
            stored_matrix[:3, a] *= -1
            stored = np.flip(stored, axis=2 - a)
    volume = volume_from_array(stored, stored_matrix, "case")
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.spacing_mm, SPACING_MM)
    np.testing.assert_allclose(volume.origin_lps, matrix[:3, 3], atol=1e-9)
    assert volume.warnings == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [-25.0, 3.0, 12.0])
def test_an_oblique_volume_is_resampled_to_where_things_are(axis, degrees):
    matrix = placement(rotation(degrees, axis), origin=(-40.0, -45.0, -50.0))
    middle = matrix[:3, :3] @ [49.5, 49.5, 9.5] + matrix[:3, 3]
    half = np.array([10.0, 5.0, 25.0])
    array = rod(matrix, (20, 100, 100), middle - half, middle + half)
    volume = volume_from_array(array, matrix, "case")
    moved = centre_of_metal(volume) - middle
    along = half / np.linalg.norm(half)
    assert np.linalg.norm(moved - (moved @ along) * along) < 0.1
    # Where a rod ends between two thick slices is blurred by either grid.
    assert abs(moved @ along) < 1.0
    assert any(f"tilted by {abs(degrees):.1f} degrees" in warning for warning in volume.warnings)


def test_around_a_resampled_volume_there_is_air():
    array = np.full((20, 100, 100), 300, np.int16)
    array[:, 40:60] = 900
    volume = volume_from_array(array, placement(rotation(20, axis=0)), "case")
    assert volume.array[0, 0, 0] == -1000
    assert volume.array.max() == 900


def test_rounding_in_the_direction_is_no_tilt():
    array = np.random.default_rng(1).integers(-1000, 1000, (20, 50, 50)).astype(np.int16)
    volume = volume_from_array(array, placement(rotation(0.03, axis=2)), "case")
    np.testing.assert_array_equal(volume.array, array)


def test_more_than_the_limit_is_refused_with_the_limit_named():
    array = rod(placement(), (20, 100, 100), (-60, -5, 40), (-60, -5, 90))
    with pytest.raises(InputError, match=f"tilted by 40 degrees.*at most {MAX_TILT_DEG:.0f}"):
        volume_from_array(array, placement(rotation(40, axis=1)), "case")


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ((40, 40), "2 dimensions"),
        ((2, 4, 40, 40), "4 dimensions"),
        ((1, 40, 40), "several slices"),
        ((40, 40, 0), "several slices"),
    ],
)
def test_what_is_no_volume_is_refused(shape, problem):
    with pytest.raises(InputError, match=f"case .*{problem}"):
        volume_from_array(np.zeros(shape, np.int16), placement(), "case")


def test_more_voxels_than_can_be_handled_are_refused():
    enormous = np.broadcast_to(np.int16(0), (3000, 3000, 3000))
    with pytest.raises(InputError, match="27000 million voxels, more than the 600"):
        volume_from_array(enormous, placement(), "case")


@pytest.mark.parametrize("spacing_mm", [0.0008, 80.0])
def test_absurd_voxel_sizes_are_refused(spacing_mm):
    with pytest.raises(InputError, match="header cannot be right"):
        volume_from_array(np.zeros((5, 5, 5)), np.diag([spacing_mm] * 3 + [1.0]), "case")


def test_a_placement_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="does not say where it lies"):
        volume_from_array(np.zeros((5, 5, 5)), np.full((4, 4), np.nan), "case")


def test_axes_in_one_plane_are_refused():
    matrix = placement()
    matrix[:3, 2] = matrix[:3, 1]
    with pytest.raises(InputError, match="in one plane"):
        volume_from_array(np.zeros((5, 5, 5)), matrix, "case")
