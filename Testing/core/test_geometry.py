"""Distances of segments and angles, against what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.geometry import (
    angle_between_lines_deg,
    direction_of_angle,
    mean_angle_deg,
    polar_angle_deg,
    segment_distances,
    unit_vectors,
    wrap_deg,
)

coordinate = st.integers(-200, 200).map(float)
point = st.tuples(coordinate, coordinate, coordinate).map(np.array)
angle = st.floats(-1000, 1000)


def searched_distance(a, b, c, d) -> float:
    """The least distance from a fine row of points on one segment to the other segment."""
    t = np.linspace(0, 1, 2001)[:, None]
    on_first = a + t * (b - a)
    along = d - c
    squared = along @ along
    s = np.clip((on_first - c) @ along / squared, 0, 1)[:, None] if squared else np.zeros((1, 1))
    return float(np.linalg.norm(on_first - (c + s * along), axis=1).min())


@given(point, point, point, point)
def test_the_distance_of_segments_is_what_a_search_along_them_finds(a, b, c, d):
    found = float(segment_distances(a, b, c, d))
    step = np.linalg.norm(b - a) / 2000 + 1e-6
    assert found <= searched_distance(a, b, c, d) + 1e-6
    assert found >= searched_distance(a, b, c, d) - step


@given(point, point, point, point, point)
def test_the_distance_does_not_depend_on_order_direction_or_place(a, b, c, d, shift):
    found = segment_distances(a, b, c, d)
    for other in (
        segment_distances(c, d, a, b),
        segment_distances(b, a, c, d),
        segment_distances(a + shift, b + shift, c + shift, d + shift),
    ):
        assert other == pytest.approx(found, abs=1e-6)


def test_all_pairs_of_segments_are_measured_at_once():
    rng = np.random.default_rng(1)
    starts, ends = rng.uniform(-50, 50, (2, 7, 3))
    table = segment_distances(starts[:, None], ends[:, None], starts[None], ends[None])
    assert table.shape == (7, 7)
    assert np.allclose(np.diag(table), 0)
    assert table[2, 5] == pytest.approx(
        float(segment_distances(starts[2], ends[2], starts[5], ends[5]))
    )


@pytest.mark.parametrize(
    ("second", "distance"),
    [
        (((0, 3, 0), (100, 3, 0)), 3),  # parallel, beside
        (((110, 0, 0), (150, 0, 0)), 10),  # in line, further on
        (((50, -5, 4), (50, 5, 4)), 4),  # crossing above
        (((50, 7, 0), (50, 7, 0)), 7),  # a point
        (((20, 0, 0), (60, 0, 0)), 0),  # lying in it
    ],
)
def test_special_cases_of_segments(second, distance):
    first = np.zeros(3), np.array([100.0, 0, 0])
    ends = (np.array(p, float) for p in second)
    assert segment_distances(*first, *ends) == pytest.approx(distance)


@given(angle)
def test_wrapped_angles_lie_within_half_a_turn_and_point_the_same_way(value):
    wrapped = float(wrap_deg(value))
    assert -180 < wrapped <= 180
    assert (wrapped - value) / 360 == pytest.approx(round((wrapped - value) / 360), abs=1e-9)


@given(st.floats(-179, 180))
def test_an_angle_and_its_direction_are_inverses(value):
    assert wrap_deg(polar_angle_deg(direction_of_angle(value)) - value) == pytest.approx(
        0, abs=1e-9
    )


@given(st.floats(-180, 180))
def test_flipping_an_image_turns_angles_as_documented(value):
    x, y = direction_of_angle(value)
    left_right, upside_down = np.array([-x, y]), np.array([x, -y])
    assert wrap_deg(polar_angle_deg(left_right) - (180 - value)) == pytest.approx(0, abs=1e-9)
    assert wrap_deg(polar_angle_deg(upside_down) + value) == pytest.approx(0, abs=1e-9)


def test_up_in_the_array_is_ninety_degrees():
    assert polar_angle_deg(np.array([0.0, -1.0])) == pytest.approx(90)


def test_angles_on_both_sides_of_zero_average_to_zero():
    assert mean_angle_deg(np.array([359.0, 1.0]), np.ones(2)) == pytest.approx(0, abs=1e-9)


@given(st.floats(0, 90), st.booleans())
def test_the_angle_of_lines_ignores_their_sense(value, reversed_):
    radians = np.radians(value)
    second = np.array([np.cos(radians), np.sin(radians), 0]) * (-3 if reversed_ else 2)
    found = angle_between_lines_deg(np.array([5.0, 0, 0]), second)
    assert found == pytest.approx(value, abs=1e-7)


def test_unit_vectors_keep_zero():
    vectors = unit_vectors(np.array([[3.0, 0, 4], [0, 0, 0]]))
    assert np.allclose(vectors, [[0.6, 0, 0.8], [0, 0, 0]])
