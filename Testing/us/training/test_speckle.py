"""Speckle, point spread and log compression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.us.training.speckle import Display, PointSpread, smooth_series, speckle

SPREAD = PointSpread.focused(1.5, 2.5, defocus=2.0, focus=0.5, beam_px=np.ones(200))


def test_speckle_is_fully_developed():
    # The envelope of fully developed speckle is Rayleigh distributed: mean / sd = 1.91.
    field = speckle((200, 400), SPREAD, np.random.default_rng(1))
    envelope = np.hypot(field[..., 0], field[..., 1])
    assert (envelope**2).mean() == pytest.approx(1, abs=0.1)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.12)


def test_a_point_is_sharpest_at_the_focus_and_keeps_its_energy():
    points = np.zeros((200, 101, 2), np.float32)
    points[[20, 100, 180], 50, 0] = 1
    seen = SPREAD.apply(points)[..., 0]
    above, focus, below = seen[20].max(), seen[100].max(), seen[180].max()
    assert focus > 1.3 * above
    assert focus > 1.3 * below
    for row in (20, 100, 180):
        assert seen[row - 15 : row + 16].sum() == pytest.approx(1, abs=0.02)


@given(level=st.integers(0, 255), range_db=st.floats(40, 80))
def test_compression_can_be_undone(level, range_db):
    display = Display(range_db)
    grey = np.full((2, 2), level, np.float32)
    np.testing.assert_allclose(display.grey(display.envelope(grey)), grey, atol=0.05)


def test_twice_the_echo_is_six_decibels_more():
    display = Display(range_db=60)
    quiet, loud = (float(display.grey(np.full((1, 1), a, np.float32))[0, 0]) for a in (0.1, 0.2))
    assert loud - quiet == pytest.approx(6.02 / 60 * 255, abs=0.01)


@given(seed=st.integers(0, 1000), correlation=st.floats(0.2, 50))
def test_a_smooth_series_does_not_jump(seed, correlation):
    series = smooth_series(60, correlation, np.random.default_rng(seed))
    knots = smooth_series(60, 1.0, np.random.default_rng(seed))
    assert series.shape == (60,)
    if correlation > 10:
        assert np.abs(np.diff(series)).max() < np.abs(np.diff(knots)).max()
