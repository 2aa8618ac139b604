"""Ends placed between slices by their shafts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.core.needles import Needle
from needle_backend.core.volume import Volume
from needle_backend.ct.refine import refine_needles, slice_centroid
from needle_backend.ct.training.splat import Grid, splat, tube

GRID = Grid((14, 260, 60), (0.9, 0.9, 5.0), (-27.0, -20.0, -30.0))


def volume_with(*needles: Needle) -> Volume:
    """A top-hat that shows these needles and nothing else."""
    out = np.zeros(GRID.shape, np.float32)
    for needle in needles:
        splat(tube(np.linspace(needle.tip_lps, needle.handle_lps, 500), 0.65, 4000.0), GRID, out)
    return Volume(out, GRID.spacing_mm, GRID.origin_lps)


def on_slices(needle: Needle) -> Needle:
    """The needle as detections see it: ends on the nearest slice."""

    def snapped(point):
        return (*point[:2], round(point[2] / 5) * 5.0)

    return Needle(snapped(needle.tip_lps), snapped(needle.handle_lps))


@settings(max_examples=20, deadline=None)
@given(tip_z=st.floats(-20, 25), rise=st.floats(6, 25), sign=st.sampled_from([-1, 1]))
def test_a_tilted_needles_ends_come_nearer_to_the_truth(tip_z, rise, sign):
    handle_z = float(np.clip(tip_z + sign * rise, -28, 33))
    truth = Needle((0.0, 0.0, tip_z), (4.0, 180.0, handle_z))
    if abs(handle_z - tip_z) < 6:
        return
    seen = on_slices(truth)
    volume = volume_with(truth)
    (refined,) = refine_needles([seen], volume.array, volume)
    before = abs(seen.tip_lps[2] - tip_z) + abs(seen.handle_lps[2] - handle_z)
    after = abs(refined.tip_lps[2] - tip_z) + abs(refined.handle_lps[2] - handle_z)
    assert after <= max(before, 1.0)
    assert refined.tip_lps[:2] == seen.tip_lps[:2]


def test_a_needle_that_cannot_be_seen_stays_where_it_was():
    needle = Needle((0.0, 0.0, 5.0), (0.0, 180.0, 20.0))
    volume = volume_with()
    assert refine_needles([needle], volume.array, volume) == (needle,)


def test_a_brighter_neighbour_does_not_pull_a_needle_away():
    truth = Needle((0.0, 0.0, 1.0), (0.0, 180.0, 14.0))
    neighbour = Needle((1.0, 0.0, 7.0), (1.0, 180.0, 20.0))
    volume = volume_with(truth, neighbour, neighbour)
    seen = on_slices(truth)
    alone, _ = refine_needles([seen, on_slices(neighbour)], volume.array, volume)
    assert abs(alone.tip_lps[2] - 1.0) < 2.5


def test_no_needles_is_fine():
    volume = volume_with()
    assert refine_needles([], volume.array, volume) == ()


def test_the_staircase_is_on_a_slice_in_its_middle_and_between_two_on_their_border():
    planes = np.arange(4) * 5.0
    z = np.array([5.0, 7.5, 10.0])
    assert slice_centroid(z, planes, 5.0) == pytest.approx([5.0, 7.5, 10.0], abs=0.05)
