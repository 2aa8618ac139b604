"""Of the ends that no needle uses, those that may be a missed needle's are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from needle_backend.core.needles import Needle, as_point
from needle_backend.ct.doubts import Assessment
from needle_backend.ct.ends import Ends
from needle_backend.ct.loose_ends import (
    APART_MM,
    HANDLE_MODEL,
    TIP_MODEL,
    loose_ends,
    loose_handles,
    loose_tips,
)
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.shaft import ShaftEvidence

GOOD_SCORE = 6.0
TO_HUB = [0.0, 180.0, 0.0]


def scene(count: int = 4, spacing_mm: float = 20.0) -> tuple[Pairs, Ends, Ends]:
    """Needles side by side, 180 mm long, each with a good pair; their tips at y = -90 mm."""
    x = spacing_mm * (np.arange(count) - (count - 1) / 2)
    tips = np.column_stack((x, np.full(count, -90.0), np.zeros(count)))
    zeros, index, sure = np.zeros(count), np.arange(count), np.full(count, 0.9)
    pairs = Pairs(
        tip=index,
        handle=index,
        seen_as=index,
        tips_lps=tips,
        handles_lps=tips + TO_HUB,
        moved_mm=zeros,
        score=zeros + GOOD_SCORE,
        published_score=zeros,
        length_mm=zeros + 180,
        length_support=zeros,
        tip_turn_deg=zeros,
        handle_turn_deg=zeros,
        tip_heatmap=sure,
        handle_heatmap=sure,
        shaft=ShaftEvidence(*[zeros] * 7),
    )
    slices = np.full(count, 2)
    return pairs, Ends(tips, zeros, sure, slices), Ends(tips + TO_HUB, zeros, sure, slices)


def assessment(pairs: Pairs, chosen: list[int], confidence: float = 0.99) -> Assessment:
    """The needles that these pairs are."""
    needles = tuple(
        Needle(as_point(pairs.tips_lps[i]), as_point(pairs.handles_lps[i]), 0.0, confidence)
        for i in chosen
    )
    return Assessment(needles, (), np.array(chosen, int))


def with_tip(tips: Ends, point_lps: list[float], score: float = 0.9) -> Ends:
    """See one more tip, that no pair has."""
    more = Ends(**{name: np.concatenate((v, v[:1])) for name, v in vars(tips).items()})
    more.points_lps[-1] = point_lps
    more.score[-1] = score
    return more


def test_ends_in_use_are_not_loose():
    pairs, tips, handles = scene()
    shown = loose_ends(assessment(pairs, [0, 1, 2, 3]), pairs, tips, handles)
    assert [points.shape for points in shown] == [(0, 3), (0, 3)]


def test_both_ends_of_a_needle_that_is_not_listed_are_shown():
    pairs, tips, handles = scene()
    shown_tips, shown_handles = loose_ends(assessment(pairs, [0, 1, 3]), pairs, tips, handles)
    np.testing.assert_array_equal(shown_tips, tips.points_lps[2:3])
    np.testing.assert_array_equal(shown_handles, handles.points_lps[2:3])


def test_a_tip_barely_seen_that_goes_with_no_hub_is_not_shown():
    pairs, tips, handles = scene()
    tips = with_tip(tips, [100.0, 0.0, 40.0], score=0.21)
    tips.slice_count[-1] = 1
    needles = assessment(pairs, [0, 1, 2, 3])
    assert len(loose_tips(needles, pairs, tips).points_lps) == 1
    assert len(loose_ends(needles, pairs, tips, handles)[0]) == 0


def test_of_tips_seen_twice_the_surer_is_shown():
    pairs, tips, handles = scene()
    tips = with_tip(tips, list(tips.points_lps[2] + [APART_MM / 2, 0, 0]), score=0.85)
    shown, _ = loose_ends(assessment(pairs, [0, 1, 3]), pairs, tips, handles)
    np.testing.assert_array_equal(shown, tips.points_lps[2:3])


def test_the_surest_comes_first():
    pairs, tips, handles = scene()
    pairs = replace(pairs, score=np.array([6.0, 6.0, 0.0, 4.0]))
    shown, _ = loose_ends(assessment(pairs, [0, 1]), pairs, tips, handles)
    np.testing.assert_array_equal(shown, tips.points_lps[[3, 2]])


def test_a_tip_placed_on_a_shaft_that_no_needle_took_is_loose():
    pairs, tips, handles = scene()
    placed = replace(pairs.take(np.array([2])), tip=np.array([9]), seen_as=np.array([UNSEEN]))
    placed.tips_lps[0] += [0.0, 12.0, 0.0]
    both = pairs.joined(placed)
    loose = loose_tips(assessment(both, [0, 1, 2, 3]), both, tips)
    np.testing.assert_array_equal(loose.points_lps, placed.tips_lps)
    assert loose.features["claimed"].tolist() == [1.0]


def test_a_rival_tip_of_a_doubtful_needles_hub_is_more_likely_a_missed_one():
    pairs, tips, _ = scene()
    rival = replace(pairs.take(np.array([2])), tip=np.array([9]), seen_as=np.array([UNSEEN]))
    rival.tips_lps[0] += [0.0, 12.0, 0.0]
    both = pairs.joined(rival)
    sure, doubtful = (
        loose_tips(assessment(both, [0, 1, 2, 3], confidence), both, tips).features
        for confidence in (0.99, 0.55)
    )
    assert doubtful["claim"] > sure["claim"]
    assert doubtful["doubt_nearby"] > sure["doubt_nearby"]


def test_a_handle_of_a_hub_in_use_is_not_loose():
    pairs, tips, handles = scene()
    again = pairs.take(np.array([1]))
    twice = pairs.joined(replace(again, tip=np.array([9]), handle=np.array([4])))
    twice.handles_lps[4] += [0.0, 0.0, 5.0]
    seen = Ends(**{n: np.concatenate((v, v[1:2])) for n, v in vars(handles).items()})
    loose = loose_handles(assessment(twice, [0, 1, 2]), twice, seen)
    np.testing.assert_array_equal(loose.points_lps, handles.points_lps[3:])


def test_nothing_detected_leaves_nothing_loose():
    pairs, tips, handles = scene()
    nothing = np.zeros(0, int)
    none = Ends(np.zeros((0, 3)), np.zeros(0), np.zeros(0), nothing)
    shown = loose_ends(assessment(pairs, []), pairs.take(nothing), none, none)
    assert [points.shape for points in shown] == [(0, 3), (0, 3)]


@pytest.mark.parametrize("find", ["tips", "handles"])
def test_every_feature_has_a_coefficient(find):
    pairs, tips, handles = scene()
    needles = assessment(pairs, [0, 1])
    loose, model = {
        "tips": (loose_tips(needles, pairs, tips), TIP_MODEL),
        "handles": (loose_handles(needles, pairs, handles), HANDLE_MODEL),
    }[find]
    assert {"intercept", *loose.features} == set(model)
    assert {len(values) for values in loose.features.values()} == {len(loose.points_lps)}
