"""Detections of single frames become one tip that moves as a needle does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.us.tips import DETECTED, LOST, PREDICTED, TIPDET, YOLOT, Tip
from needle_backend.us.track import ASSOCIATION_OF, Association, Tracker

SIZE = (640, 480)
THRESHOLD = 0.45
STEP_S = 1 / 30
LIMIT_S = Association().longest_prediction_s


def tip_at(x, y, confidence=0.8):
    return Tip(float(x), float(y), 36.0, 20.0, confidence)


def follow(tips, tracker=None, step_s=STEP_S):
    tracker = tracker or Tracker(SIZE, THRESHOLD)
    return [tracker.follow(i, i * step_s, tip) for i, tip in enumerate(tips)]


coordinates = st.tuples(st.floats(0, 639), st.floats(0, 479))
some_tip = st.builds(lambda xy, sure: tip_at(*xy, sure), coordinates, st.floats(0.01, 1.0))
any_tips = st.lists(st.none() | some_tip, max_size=40)
steps_s = st.sampled_from([1 / 60, 1 / 30, 0.1, 0.25, 1.0])


@settings(deadline=None, max_examples=40)
@given(any_tips, steps_s)
def test_a_tip_is_told_where_and_only_where_it_is_not_lost(tips, step_s):
    for answer in follow(tips, step_s=step_s):
        assert (answer.tip is None) == (answer.state == LOST)


@settings(deadline=None, max_examples=40)
@given(any_tips, steps_s)
def test_a_tip_is_detected_only_in_frames_where_something_was(tips, step_s):
    for tip, answer in zip(tips, follow(tips, step_s=step_s), strict=True):
        assert tip is not None or answer.state != DETECTED


@settings(deadline=None, max_examples=40)
@given(any_tips, steps_s)
def test_nothing_is_predicted_for_longer_than_half_a_second(tips, step_s):
    last_detected_s = -math.inf
    for answer in follow(tips, step_s=step_s):
        if answer.state == DETECTED:
            last_detected_s = answer.time_s
        if answer.state == PREDICTED:
            assert answer.time_s - last_detected_s <= LIMIT_S + 1e-9


@settings(deadline=None, max_examples=40)
@given(any_tips, steps_s)
def test_no_tip_is_told_outside_the_frame(tips, step_s):
    for answer in follow(tips, step_s=step_s):
        if answer.tip is not None:
            assert -0.5 <= answer.tip.x <= SIZE[0] - 0.5
            assert -0.5 <= answer.tip.y <= SIZE[1] - 0.5


@settings(deadline=None, max_examples=40)
@given(any_tips, steps_s)
def test_a_predicted_tip_is_less_sure_than_the_last_one_detected(tips, step_s):
    confidence = None
    for tip, answer in zip(tips, follow(tips, step_s=step_s), strict=True):
        if answer.state == DETECTED:
            assert answer.tip.confidence == tip.confidence
            confidence = tip.confidence
        elif answer.state == PREDICTED:
            assert answer.tip.confidence < confidence


@settings(deadline=None, max_examples=40)
@given(any_tips)
def test_frames_of_twice_the_size_give_the_same_answers_at_twice_the_place(tips):
    def doubled(tip):
        return replace(tip, x=2 * tip.x, y=2 * tip.y)

    twice = Tracker((2 * SIZE[0], 2 * SIZE[1]), THRESHOLD)
    larger = follow([tip and doubled(tip) for tip in tips], twice)
    for one, other in zip(follow(tips), larger, strict=True):
        if one.state == other.state != LOST:
            assert (other.tip.x, other.tip.y) == pytest.approx((2 * one.tip.x, 2 * one.tip.y))


@settings(deadline=None, max_examples=40)
@given(
    start=st.tuples(st.floats(200, 400), st.floats(150, 300)),
    speed_px_s=st.tuples(st.floats(-80, 80), st.floats(-80, 80)),
    seed=st.integers(0, 1000),
)
def test_a_tip_that_moves_evenly_is_followed_and_less_noisy_than_it_was_detected(
    start, speed_px_s, seed
):
    times_s = np.arange(45) * STEP_S
    true = np.array(start) + times_s[:, None] * speed_px_s
    noise = np.clip(np.random.default_rng(seed).normal(0, 2, true.shape), -5, 5)
    answers = follow([tip_at(*xy) for xy in true + noise])
    assert [answer.state for answer in answers] == [LOST] + [DETECTED] * 44
    off = np.array([(answer.tip.x, answer.tip.y) for answer in answers[1:]]) - true[1:]
    assert np.sqrt((off[10:] ** 2).mean()) < np.sqrt((noise[11:] ** 2).mean())


@settings(deadline=None, max_examples=40)
@given(st.lists(coordinates, min_size=1, max_size=20))
def test_what_flashes_up_for_one_frame_is_never_shown(places):
    pause = [None] * 20
    tips = [each for xy in places for each in (tip_at(*xy), *pause)]
    assert {answer.state for answer in follow(tips)} == {LOST}


def test_a_false_tip_far_away_does_not_move_the_true_one():
    tips = [tip_at(100 + i, 200) for i in range(12)]
    tips[6] = tip_at(500, 50)
    answers = follow(tips)
    assert answers[6].state == PREDICTED
    assert (answers[6].tip.x, answers[6].tip.y) == pytest.approx((106, 200), abs=2)
    assert [answer.state for answer in answers[7:]] == [DETECTED] * 5


def test_a_tip_that_stays_away_is_predicted_then_lost_then_found_again_elsewhere():
    tips = [tip_at(100 + 2 * i, 200) for i in range(10)] + [None] * 20
    tips += [tip_at(400, 300), tip_at(401, 300), tip_at(402, 300)]
    states = [answer.state for answer in follow(tips)]
    assert states == [LOST] + [DETECTED] * 9 + [PREDICTED] * 15 + [LOST] * 6 + [DETECTED] * 2


def test_a_predicted_tip_goes_on_as_it_went():
    answers = follow([tip_at(100 + 3 * i, 200 + i) for i in range(30)] + [None] * 6)
    assert answers[-1].state == PREDICTED
    assert (answers[-1].tip.x, answers[-1].tip.y) == pytest.approx((205, 235), abs=2)


def test_a_recording_that_starts_over_is_followed_anew():
    tracker = Tracker(SIZE, THRESHOLD)
    follow([tip_at(100, 200)] * 5, tracker)
    assert tracker.follow(0, 0.0, tip_at(100, 200)).state == LOST
    assert tracker.follow(1, STEP_S, tip_at(100, 200)).state == DETECTED


def test_what_is_doubted_in_every_frame_is_never_shown_but_a_believed_tip_is_followed_on():
    doubted = [tip_at(100 + i, 200, confidence=0.3) for i in range(20)]
    assert {answer.state for answer in follow(doubted)} == {LOST}
    believed = [tip_at(90 + i, 200, confidence=0.8) for i in range(10)]
    assert [answer.state for answer in follow(believed + doubted)][1:] == [DETECTED] * 29


def test_what_never_moves_is_shown_for_a_while_only_and_at_once_when_it_moves():
    stays = [tip_at(100, 200)] * 90
    states = [
        answer.state for answer in follow([*stays, *(tip_at(100 + 2 * i, 200) for i in range(12))])
    ]
    assert states[1:46] == [DETECTED] * 45
    assert set(states[46:90]) == {LOST}
    assert states[-3:] == [DETECTED] * 3


def test_what_never_moves_must_be_surer():
    assert {answer.state for answer in follow([tip_at(100, 200, 0.55)] * 60)} == {LOST}
    moves = follow([tip_at(100 + i, 200, 0.55) for i in range(60)])
    assert [answer.state for answer in moves[-40:]] == [DETECTED] * 40


def test_a_tip_that_has_moved_is_followed_through_a_pause():
    tips = [tip_at(100 + i, 200) for i in range(30)] + [tip_at(130, 200)] * 120
    assert [answer.state for answer in follow(tips)][1:] == [DETECTED] * 149


def test_a_tip_that_is_followed_may_be_fainter_than_one_that_appears():
    faint = 0.6 * THRESHOLD
    assert {
        answer.state for answer in follow([tip_at(100 + i, 200, faint) for i in range(60)])
    } == {LOST}
    tips = [tip_at(100 + i, 200) for i in range(20)] + [
        tip_at(120 + i, 200, faint) for i in range(20)
    ]
    assert [answer.state for answer in follow(tips)][1:] == [DETECTED] * 39


@pytest.mark.parametrize(("model", "longest_s"), [(YOLOT, 0.5), (TIPDET, 0.1)])
def test_what_is_seen_no_longer_is_predicted_for_as_long_as_its_model_asks(model, longest_s):
    tracker = Tracker(SIZE, THRESHOLD, ASSOCIATION_OF[model])
    answers = follow([tip_at(100 + 2 * i, 200) for i in range(20)] + [None] * 30, tracker)
    predicted = [answer.state == PREDICTED for answer in answers[20:]]
    assert sum(predicted) == int(longest_s / STEP_S + 1e-6)
    assert predicted[: sum(predicted)] == [True] * sum(predicted)


def test_when_told_to_believe_at_once_the_first_detection_is_shown():
    tracker = Tracker(SIZE, THRESHOLD, Association(seen_at_least=1))
    assert tracker.follow(0, 0.0, tip_at(100, 200)).state == DETECTED
