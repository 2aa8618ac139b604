"""A line along a shaft scores higher than one beside it, whoever drew it."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.volume import Volume
from needle_backend.ct.rescore import score_lines

VOLUME = Volume(np.zeros((20, 64, 64), np.int16), (1.0, 1.0, 5.0), (-30.0, -30.0, 100.0))


@pytest.fixture
def tophat() -> np.ndarray:
    """One shaft from (15, 31, 2) to (45, 31, 17) in voxels (column, row, slice)."""
    tophat = np.zeros((20, 64, 64), np.float32)
    for k in range(2, 18):
        tophat[k, 30:33, 10 + 2 * k : 13 + 2 * k] = 500
    return tophat


def line(tip_ijk, handle_ijk) -> np.ndarray:
    return VOLUME.ijk_to_lps(np.array([tip_ijk, handle_ijk], float))


def test_a_line_on_the_shaft_scores_higher_than_lines_beside_and_across_it(tophat):
    on = line((15, 31, 2), (45, 31, 17))
    beside = line((15, 36, 2), (45, 36, 17))
    across = line((45, 31, 2), (15, 31, 17))
    scores = score_lines(np.stack([on, beside, across]), tophat, VOLUME)
    assert scores[0] > 0 > scores[1:].max()


def test_no_lines_have_no_scores(tophat):
    assert score_lines(np.zeros((0, 2, 3)), tophat, VOLUME).shape == (0,)


@pytest.mark.parametrize("length_mm", [0.0, 5.0, np.nan])
def test_a_line_too_short_for_a_needle_is_refused(tophat, length_mm):
    with pytest.raises(InputError, match="at least 20 mm apart"):
        score_lines(np.array([[[0, 0, 0], [length_mm, 0, 0]]], float), tophat, VOLUME)
