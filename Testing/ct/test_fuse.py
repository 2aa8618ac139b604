"""Detections of one end on neighbouring slices become one end; two needles' ends never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.volume import Volume
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.fuse import fuse_over_slices


def volume(slice_mm: float = 5.0) -> Volume:
    array = np.full((12, 80, 80), -1000, np.int16)
    return Volume(array, (0.9, 0.9, slice_mm), (-30.0, -40.0, 7.0))


def seen(*rows: tuple[float, ...], kind: int = TIP) -> SliceEnds:
    """Detections from (column, row, slice, angle, score)."""
    column, row, slice_index, angle, score = np.array(rows, float).reshape(-1, 5).T
    kinds = np.full(len(column), kind)
    return SliceEnds(kinds, column, row, slice_index.astype(int), angle, score)


def test_an_end_on_three_slices_becomes_one():
    ends = seen((40, 40, 4, 90, 0.4), (40.5, 40, 5, 92, 0.9), (40, 41, 6, 88, 0.5))
    fused = fuse_over_slices(ends, TIP, volume())
    assert len(fused) == 1
    assert fused.slice_count.tolist() == [3]
    assert fused.score.tolist() == [0.9]
    assert fused.angle_deg[0] == pytest.approx(90, abs=2)


def test_the_brighter_slice_pulls_the_end_towards_itself():
    ct = volume()
    ct.array[4, 38:43, 38:43] = 1000
    ct.array[5, 38:43, 38:43] = -500
    fused = fuse_over_slices(seen((40, 40, 4, 90, 0.8), (40, 40, 5, 90, 0.8)), TIP, ct)
    slice_index = ct.lps_to_ijk(fused.points_lps)[0, 2]
    assert 4 < slice_index < 4.3


def test_the_other_class_is_left_alone():
    ends = seen((40, 40, 4, 90, 0.8), kind=HANDLE)
    assert len(fuse_over_slices(ends, TIP, volume())) == 0


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ((43.5, 40, 5, 90, 0.7), "beside the needle, as a touching neighbour is"),
        ((40, 48, 5, 90, 0.7), "too far along the needle"),
        ((40, 40, 7, 90, 0.7), "behind slices that do not show it"),
        ((40, 40, 5, 120, 0.7), "pointing elsewhere"),
        ((40.5, 40, 4, 90, 0.7), "on the same slice"),
    ],
)
def test_ends_stay_apart_when(second, why):
    assert len(fuse_over_slices(seen((40, 40, 4, 90, 0.8), second), TIP, volume())) == 2, why


def test_two_touching_needles_through_the_same_slices_stay_two():
    left = [(40, 40, k, 90, 0.8) for k in (4, 5)]
    right = [(42, 40, k, 90, 0.7) for k in (4, 5)]
    fused = fuse_over_slices(seen(*left, *right), TIP, volume())
    assert np.sort(volume().lps_to_ijk(fused.points_lps)[:, 0]) == pytest.approx([40, 42])


def test_how_many_slices_an_end_spans_depends_on_their_thickness():
    rows = [(40, 40, k, 90, 0.8) for k in range(3, 9)]
    assert len(fuse_over_slices(seen(*rows), TIP, volume(slice_mm=1.0))) == 1
    assert len(fuse_over_slices(seen(*rows), TIP, volume(slice_mm=5.0))) > 1


def test_nothing_detected_gives_no_ends():
    assert fuse_over_slices(seen(), TIP, volume()).points_lps.shape == (0, 3)


detection = st.tuples(
    st.integers(30, 50),
    st.integers(30, 50),
    st.integers(0, 11),
    st.integers(80, 100),
    st.integers(2, 999),
)


@given(st.lists(detection, max_size=25, unique_by=lambda row: row[4]), st.randoms())
def test_each_detection_is_used_once_whatever_their_order(rows, random):
    rows = [(*row[:4], row[4] / 1000) for row in rows]
    shuffled = rows[:]
    random.shuffle(shuffled)
    fused = fuse_over_slices(seen(*rows), TIP, volume())
    again = fuse_over_slices(seen(*shuffled), TIP, volume())
    assert fused.slice_count.sum() == len(rows)
    assert np.allclose(fused.points_lps, again.points_lps)
    assert np.array_equal(fused.slice_count, again.slice_count)


def test_a_hub_on_five_thin_slices_becomes_one_handle_but_a_tip_does_not_reach_so_far():
    rows = [(40, 40, k, 90, 0.9 - 0.1 * abs(k - 5)) for k in range(3, 8)]
    assert len(fuse_over_slices(seen(*rows, kind=HANDLE), HANDLE, volume(3.0))) == 1
    assert len(fuse_over_slices(seen(*rows, kind=TIP), TIP, volume(3.0))) > 1
