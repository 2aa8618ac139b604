"""From which confidence on a detector is believed whose tips are followed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.us.tips import DETECTED, TIPDET, FrameAnswer, Tip
from needle_backend.us.training.evaluate_files import TrueFrame
from needle_backend.us.training.following import (
    FALSE_SHARE,
    LookedAt,
    followed,
    threshold_when_followed,
)

SIZE = (640, 480)
FPS = 30.0


def looked_at(confidence: float, tips: int, frames: int = 60) -> LookedAt:
    """Return a sequence whose answers wander, with a visible tip there in the first frames."""
    answers, truth = [], []
    for number in range(frames):
        tip = Tip(100.0 + 4 * number, 200.0, 36.0, 20.0, confidence)
        answers.append(FrameAnswer(number, number / FPS, DETECTED, tip))
        box = [(tip.x - 18, tip.y - 10, 36.0, 20.0)] if number < tips else []
        truth.append(TrueFrame(SIZE, np.array(box, float).reshape(-1, 4)))
    return LookedAt(truth, answers, SIZE)


def shown(one: LookedAt, threshold: float) -> int:
    return sum(answer.tip is not None for answer in followed(one.answers, SIZE, threshold, TIPDET))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 0.8))
def test_the_least_threshold_at_which_no_false_tip_is_shown_is_chosen(confidence):
    wrong = looked_at(confidence, tips=0)
    threshold, figures = threshold_when_followed([wrong])
    assert shown(wrong, threshold) <= FALSE_SHARE * len(wrong.frames)
    assert shown(wrong, threshold - 0.01) > FALSE_SHARE * len(wrong.frames)
    assert figures["false_answer_rate"] <= FALSE_SHARE


def test_false_tips_may_be_a_tenth_of_the_frames_without_one():
    wrong, empty = looked_at(0.6, tips=0), looked_at(0.0, tips=0)
    threshold, figures = threshold_when_followed([wrong] + 39 * [empty])
    assert shown(wrong, threshold) > 50
    assert 0 < figures["false_answer_rate"] <= FALSE_SHARE


def test_a_tenth_that_few_sequences_make_up_is_not_trusted():
    wrong, empty = looked_at(0.6, tips=0), looked_at(0.0, tips=0)
    threshold, figures = threshold_when_followed([wrong] + 9 * [empty])
    assert shown(wrong, threshold) == 0
    assert figures["false_answer_rate"] == 0.0


def test_where_every_frame_shows_a_tip_the_faintest_count():
    right = looked_at(0.3, tips=60)
    threshold, figures = threshold_when_followed([right])
    assert threshold == pytest.approx(0.02)
    assert figures["miss_rate"] < 0.05
    assert figures["false_answer_rate"] is None
