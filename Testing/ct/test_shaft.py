"""The picture between two ends tells a shaft from none, and from the neighbour's."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.core.volume import Volume
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.shaft import glance, shaft_evidence

PIXEL = 0.9


def picture(*shafts: tuple[float, float]) -> TopHat:
    """A top-hat with shafts along the rows: (column in mm, bow in mm), from y = 20 to 200 mm."""
    volume = Volume(np.zeros((5, 260, 120), np.int16), (PIXEL, PIXEL, 5.0), (0.0, 0.0, 0.0))
    y = PIXEL * np.arange(260)
    x = PIXEL * np.arange(120)
    along = np.clip((y - 20) / 180, 0, 1)
    inside = (y > 20) & (y < 200)
    tophat = np.zeros((260, 120))
    for column_mm, bow_mm in shafts:
        axis = column_mm + 4 * bow_mm * along * (1 - along)
        profile = 400 * np.exp(-0.5 * ((x[None] - axis[:, None]) / 0.8) ** 2)
        tophat = np.maximum(tophat, profile * inside[:, None])
    return TopHat.of(np.repeat(tophat[None], 5, axis=0).astype(np.int16), volume)


def line(tip_column_mm: float, handle_column_mm: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[tip_column_mm, 20.0, 10.0]]), np.array([[handle_column_mm, 200.0, 10.0]])


def test_a_straight_shaft_is_seen_all_along():
    evidence = shaft_evidence(*line(50, 50), picture((50, 0)))
    assert evidence.seen[0] == 1
    assert evidence.astray[0] == 0
    assert evidence.wander_mm[0] < 0.2
    assert abs(evidence.bow_mm[0]) < 0.3


def test_where_there_is_no_shaft_nothing_is_seen():
    evidence = shaft_evidence(*line(80, 80), picture((50, 0)))
    assert evidence.seen[0] == 0


@pytest.mark.parametrize("bow_mm", [-4, -2, 2, 4])
def test_a_bow_is_followed_and_measured(bow_mm):
    evidence = shaft_evidence(*line(50, 50), picture((50, bow_mm)))
    assert evidence.seen[0] > 0.95
    assert abs(evidence.bow_mm[0]) == pytest.approx(abs(bow_mm), abs=0.7)


def test_a_line_from_one_needle_to_its_neighbour_goes_astray_and_wanders():
    tophat = picture((50, 0), (53, 0))
    right = shaft_evidence(*line(50, 50), tophat)
    wrong = shaft_evidence(*line(50, 53), tophat)
    assert wrong.astray[0] > right.astray[0] + 0.1
    assert wrong.wander_mm[0] > right.wander_mm[0] + 0.05


def test_the_ridge_tells_on_which_side_the_ends_were_misplaced():
    evidence = shaft_evidence(*line(51, 50), picture((50, 0)))
    assert abs(evidence.tip_shift_mm[0]) > abs(evidence.handle_shift_mm[0])


def test_a_tip_in_the_middle_of_a_shaft_is_not_its_end():
    tophat = picture((50, 0))
    tips = np.array([[50.0, 20.0, 10.0], [50.0, 60.0, 10.0]])
    handles = np.array([[50.0, 200.0, 10.0]] * 2)
    assert shaft_evidence(tips, handles, tophat).goes_on.tolist() == [0, 1]


def test_a_glance_prefers_what_a_close_look_prefers():
    tophat = picture((50, 2.5))
    on, off = (glance(*line(x, x), tophat)[0] for x in (50, 70))
    assert on > off + 50


def test_no_pairs_give_no_evidence():
    tophat = picture()
    nothing = np.zeros((0, 3))
    assert shaft_evidence(nothing, nothing, tophat).seen.shape == (0,)
