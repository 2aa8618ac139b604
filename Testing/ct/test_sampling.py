"""The top-hat is read between its voxels as a well-known library reads it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from needle_backend.core.volume import Volume
from needle_backend.ct.sampling import TopHat

SHAPE = (6, 40, 30)


def random_tophat(slices: int = SHAPE[0]) -> TopHat:
    array = np.random.default_rng(1).integers(0, 900, (slices, *SHAPE[1:])).astype(np.int16)
    return TopHat.of(array, Volume(array, (0.8, 0.9, 5.0), (-20.0, 10.0, -300.0)))


def places(tophat: TopHat, beyond: float) -> np.ndarray:
    """Indices (slice, row, column) inside the volume and around it, (3, 500)."""
    last = np.array(tophat.array.shape) - 1.0
    return np.random.default_rng(2).uniform(-beyond, last + beyond, (500, 3)).T


@pytest.mark.parametrize("slices", [1, 2, 6])
def test_between_slices_it_is_read_as_scipy_reads_it(slices):
    tophat = random_tophat(slices)
    at = places(tophat, beyond=2.0)
    expected = map_coordinates(tophat.array.astype(float), at, order=1, mode="nearest")
    assert np.abs(tophat.between_slices(*at) - expected).max() < 0.5


def test_slices_in_a_row_are_read_each_by_itself_and_beyond_the_volume_it_is_dark():
    tophat = random_tophat()
    _, row, column = places(tophat, beyond=0.0)
    first = np.random.default_rng(3).integers(-9, SHAPE[0] + 9, len(row))
    values = tophat.on_slices(first, row, column, 3).numpy()
    for step, seen in enumerate(values):
        expected = map_coordinates(
            np.pad(tophat.array.astype(float), ((20, 20), (0, 0), (0, 0))),
            (first + step + 20, row, column),
            order=1,
        )
        assert np.abs(seen - expected).max() < 0.5


def test_of_a_large_volume_only_what_is_near_is_copied_and_it_stays_where_it_is():
    array = np.random.default_rng(1).integers(0, 900, (30, 200, 220)).astype(np.int16)
    volume = Volume(array, (0.8, 0.9, 5.0), (-20.0, 10.0, -300.0))
    line = volume.ijk_to_lps(np.array([[100.0, 90.0, 14.0], [130.0, 120.0, 16.0]]))
    near, whole = TopHat.around(line, array, volume), TopHat.of(array, volume)
    assert near.tall.numel() < 0.3 * whole.tall.numel()
    for point in (*line, line.mean(axis=0)):
        here, there = (t.volume.lps_to_ijk(point)[::-1, None] for t in (near, whole))
        assert near.between_slices(*here) == pytest.approx(whole.between_slices(*there), abs=0.5)
