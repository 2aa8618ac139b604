"""Metal dropped into voxels: partial volume along every axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.ct.training.splat import Grid, Points, splat, tube

GRID = Grid((8, 60, 60), (0.9, 0.9, 5.0), (-27.0, -27.0, -18.0))


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(-8, 8)] * 3), st.tuples(*[st.floats(-8, 8)] * 3))
def test_no_mass_is_lost_wherever_a_needle_lies(start, end):
    if np.linalg.norm(np.subtract(end, start)) < 1:
        return
    points = tube(np.linspace(start, end, 60), 0.65, 5000.0)
    out = np.zeros(GRID.shape)
    splat(points, GRID, out)
    assert out.sum() * np.prod(GRID.spacing_mm) == pytest.approx(points.mass.sum(), rel=1e-9)


def test_a_tube_weighs_its_volume():
    points = tube(np.linspace([0, 0, 0], [30, 0, 0], 301), 0.6, 1000.0)
    expected = 1000.0 * np.pi * 0.6**2 * 30
    assert points.mass.sum() == pytest.approx(expected, rel=0.01)


def test_a_needle_between_two_slices_shows_on_both():
    between = -18.0 + 2.5 * 5.0
    points = tube(np.linspace([-10, 0, between], [10, 0, between], 80), 0.65, 5000.0)
    out = np.zeros(GRID.shape)
    splat(points, GRID, out)
    per_slice = out.sum((1, 2))
    assert per_slice[2] == pytest.approx(per_slice[3], rel=0.05)
    assert per_slice[[0, 1, 4, 5, 6, 7]].sum() == 0


def test_what_lies_outside_the_grid_is_left_out():
    out = np.zeros(GRID.shape)
    splat(Points(np.array([[500.0, 0, 0], [0, 0, 900.0]]), np.array([1.0, 1.0])), GRID, out)
    assert not out.any()
