"""A line drawn roughly is laid onto the shaft beside it, and a tip alone finds its handle."""

from __future__ import annotations

import functools
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.geometry import unit_vectors
from needle_backend.core.needles import LocateOptions
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.handle_search import find_handle
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.ridge import fit_to_ridge
from needle_backend.ct.training.splat import Grid, splat, tube

SAMPLE = Path(__file__).parents[2] / "Resources" / "Sample"
GRID = Grid((14, 280, 60), (0.9, 0.9, 5.0), (-27.0, -20.0, -30.0))
NO_OTHERS = np.zeros((0, 2, 3))
OPTIONS = LocateOptions()
LINE = np.array([[0.0, 0.0, 2.0], [6.0, 190.0, 14.0]])


def volume_with(*lines: np.ndarray) -> Volume:
    """A top-hat that shows these needles and nothing else."""
    out = np.zeros(GRID.shape, np.float32)
    for line in lines:
        splat(tube(np.linspace(*line, 500), 0.65, 4000.0), GRID, out)
    return Volume(out, GRID.spacing_mm, GRID.origin_lps)


def off_axis_mm(line: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How far both ends lie beside the true axis: (2, 3)."""
    axis = unit_vectors(truth[1] - truth[0])
    gap = line - truth[0]
    return gap - (gap @ axis)[:, None] * axis


shift_mm = st.floats(-2.0, 2.0)


@settings(max_examples=20, deadline=None)
@given(at_tip=st.tuples(shift_mm, shift_mm), at_handle=st.tuples(shift_mm, shift_mm))
def test_a_line_drawn_beside_a_shaft_is_laid_onto_it(at_tip, at_handle):
    volume = volume_with(LINE)
    drawn = LINE + [[at_tip[0], 0.0, at_tip[1]], [at_handle[0], 0.0, at_handle[1]]]
    off_mm = off_axis_mm(fit_to_ridge(drawn, NO_OTHERS, OPTIONS, volume.array, volume), LINE)
    tip_mm, handle_mm = np.hypot(off_mm[:, 0], off_mm[:, 1])
    assert tip_mm < 0.7
    assert handle_mm < 1.3  # this shaft has no hub that would tell
    assert np.abs(off_mm[:, 2]).max() < 2.0


def test_a_line_that_fits_already_stays():
    volume = volume_with(LINE)
    fitted = fit_to_ridge(LINE, NO_OTHERS, OPTIONS, volume.array, volume)
    assert np.linalg.norm(fitted - LINE, axis=1).max() < 1.5


def test_the_weights_chosen_are_the_weights_used(tmp_path):
    volume = volume_with(LINE)
    missing = LocateOptions(pair_weights=str(tmp_path / "own.safetensors"))
    with pytest.raises(InputError, match="own"):
        fit_to_ridge(LINE, NO_OTHERS, missing, volume.array, volume)


def test_where_no_shaft_is_seen_nothing_is_fitted():
    volume = volume_with(LINE)
    with pytest.raises(InputError, match="No shaft is seen near this needle"):
        fit_to_ridge(LINE + [18.0, 0.0, 0.0], NO_OTHERS, OPTIONS, volume.array, volume)


def test_another_needles_shaft_is_not_taken():
    volume = volume_with(LINE)
    with pytest.raises(InputError, match="is another needle's"):
        fit_to_ridge(LINE + [2.0, 0.0, 0.0], LINE[None], OPTIONS, volume.array, volume)


def test_ends_at_one_place_are_no_needle():
    volume = volume_with(LINE)
    with pytest.raises(InputError, match="at least 20 mm apart"):
        fit_to_ridge(np.zeros((2, 3)), NO_OTHERS, OPTIONS, volume.array, volume)


@functools.cache
def sample() -> tuple[Volume, np.ndarray, np.ndarray]:
    """The bundled CT, its top-hat, and its needles (n, 2, 3)."""
    volume = read_volume(SAMPLE / "sample_ct.nii.gz")
    needles = [(needle.tip_lps, needle.handle_lps) for needle in read_truth(SAMPLE / "truth.json")]
    return volume, white_top_hat(volume.array), np.array(needles)


def clicked(tip_lps: np.ndarray, volume: Volume) -> np.ndarray:
    """A click on a tip, a little beside it, on the slice that shows it best."""
    i, j, k = volume.lps_to_ijk(tip_lps)
    return volume.ijk_to_lps(np.array([i + 1.0, j - 1.0, np.rint(k)]))


def test_most_tips_of_the_sample_find_their_handle():
    volume, tophat, needles = sample()
    none = np.zeros((0, 3))
    found = 0
    for index, (tip, _handle) in enumerate(needles):
        others = np.delete(needles, index, axis=0)
        tip = clicked(tip, volume)
        with suppress(InputError):  # says that it finds none
            line = find_handle(tip, none, others, LocateOptions(), tophat, volume)
            found += np.linalg.norm(line - needles[index], axis=1).max() < 5.0
    assert found >= 0.85 * len(needles)


def test_a_handle_known_to_be_free_is_found_though_its_hub_is_not_recognised():
    volume = volume_with(LINE)
    beside = LINE[1] + [12.0, 0.0, 0.0]
    known = np.array([beside, LINE[1]])
    line = find_handle(LINE[0], known, NO_OTHERS, LocateOptions(), volume.array, volume)
    assert np.linalg.norm(line[1] - LINE[1]) < 1.5


def test_a_tip_without_a_shaft_finds_no_handle():
    volume, tophat, needles = sample()
    nowhere = needles[0, 0] + [60.0, 0.0, 0.0]
    with pytest.raises(InputError, match="add the needle by two clicks"):
        find_handle(nowhere, np.zeros((0, 3)), NO_OTHERS, LocateOptions(), tophat, volume)


def test_a_handle_beyond_the_lengths_allowed_is_not_taken():
    volume = volume_with(LINE)
    short = LocateOptions(length_mm=100.0, length_tolerance_mm=20.0)
    with pytest.raises(InputError, match="No handle was found"):
        find_handle(LINE[0], LINE[1:], NO_OTHERS, short, volume.array, volume)
