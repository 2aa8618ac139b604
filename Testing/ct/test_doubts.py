"""A needle says how sure it is, and why not surer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from needle_backend.core.needles import Needle, NeedleCount
from needle_backend.core.volume import Volume
from needle_backend.ct.doubts import (
    FLAGGED_BELOW,
    LISTED_FROM,
    MODEL,
    Assessment,
    assess,
    needle_features,
)
from needle_backend.ct.ends import Ends
from needle_backend.ct.match import Matching
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.score import PUBLISHED
from needle_backend.ct.shaft import ShaftEvidence

VOLUME = Volume(np.zeros((30, 300, 300), np.int16), (1.0, 1.0, 5.0), (-150.0, -150.0, -75.0))
GOOD_SCORE = 6.0


def scene(count: int = 4, spacing_mm: float = 20.0) -> tuple[Pairs, Ends, Ends]:
    """Needles side by side, 180 mm long, nothing doubtful about any of them."""
    x = spacing_mm * (np.arange(count) - (count - 1) / 2)
    tips = np.column_stack((x, np.full(count, -90.0), np.zeros(count)))
    up, sure, slices = np.full(count, -90.0), np.full(count, 0.9), np.full(count, 2)
    zeros, index = np.zeros(count), np.arange(count)
    shaft = ShaftEvidence(zeros + 1, zeros, zeros + 0.2, zeros, zeros, zeros, zeros)
    pairs = Pairs(
        tip=index,
        handle=index,
        seen_as=index,
        tips_lps=tips,
        handles_lps=tips + [0, 180, 0],
        moved_mm=zeros,
        score=zeros + GOOD_SCORE,
        published_score=zeros,
        length_mm=zeros + 180,
        length_support=zeros + 2,
        tip_turn_deg=zeros,
        handle_turn_deg=zeros,
        tip_heatmap=sure,
        handle_heatmap=sure,
        shaft=shaft,
    )
    return pairs, Ends(tips, up, sure, slices), Ends(tips + [0, 180, 0], -up, sure, slices)


def assessment_of(
    pairs: Pairs, tips: Ends, handles: Ends, chosen=None, surplus=(), solver="default"
) -> Assessment:
    chosen = np.arange(len(tips)) if chosen is None else np.array(chosen)
    used = np.concatenate((chosen, np.array(surplus, int)))
    matching = Matching(
        chosen=chosen,
        surplus=np.array(surplus, int),
        unmatched_tips=np.setdiff1d(np.arange(len(tips)), pairs.tip[used]),
        unmatched_handles=np.setdiff1d(np.arange(len(handles)), pairs.handle[used]),
        count=NeedleCount(len(chosen), estimated=True),
        solver=solver,
        gap=0.0,
    )
    return assess(matching, pairs, tips, handles, VOLUME)


def assessed(*scene, **choice) -> tuple[tuple[Needle, ...], tuple[Needle, ...]]:
    """All needles chosen, listed or not: the published solver's stand, whatever they are worth."""
    assessment = assessment_of(*scene, **choice, solver=PUBLISHED)
    return assessment.needles, assessment.surplus


def changed(values: np.ndarray, index: int, value: float) -> np.ndarray:
    return np.where(np.arange(len(values)) == index, value, values)


def doubted(pairs: Pairs, index: int) -> Pairs:
    """Lower one pair's score, so that its reasons are told."""
    return replace(pairs, score=changed(pairs.score, index, -5.0))


def test_good_needles_are_sure_and_have_no_doubts():
    needles, surplus = assessed(*scene())
    assert surplus == ()
    assert all(needle.confidence > FLAGGED_BELOW for needle in needles)
    assert all(needle.doubts == () for needle in needles)


def test_a_low_score_lowers_the_confidence_and_is_never_without_a_reason():
    pairs, tips, handles = scene()
    needles, _ = assessed(doubted(pairs, 1), tips, handles)
    assert needles[1].confidence < FLAGGED_BELOW < needles[0].confidence
    assert needles[1].doubts


def test_confidence_is_a_probability():
    pairs, tips, handles = scene()
    for score in (-1000.0, 1000.0):
        needles, _ = assessed(replace(pairs, score=pairs.score * 0 + score), tips, handles)
        assert all(0 <= needle.confidence <= 1 for needle in needles)


def test_a_faint_shaft_is_told():
    pairs, tips, handles = scene()
    pairs = doubted(pairs, 2)
    shaft = replace(pairs.shaft, seen=changed(pairs.shaft.seen, 2, 0.35))
    needles, _ = assessed(replace(pairs, shaft=shaft), tips, handles)
    assert any("faint shaft: 35%" in doubt for doubt in needles[2].doubts)


def test_a_bow_a_brighter_neighbour_and_a_shaft_that_goes_on_are_told():
    pairs, tips, handles = scene()
    pairs = doubted(pairs, 2)
    shaft = replace(
        pairs.shaft,
        bow_mm=changed(pairs.shaft.bow_mm, 2, -3.0),
        astray=changed(pairs.shaft.astray, 2, 0.5),
        goes_on=changed(pairs.shaft.goes_on, 2, 1.0),
    )
    needles, _ = assessed(replace(pairs, shaft=shaft), tips, handles)
    assert "bowed by 3 mm" in needles[2].doubts
    assert "the shaft seems to go on beyond the tip" in needles[2].doubts
    assert "something brighter lies beside the shaft" in needles[2].doubts


def test_a_length_unlike_the_others_is_told_in_millimetres():
    pairs, tips, handles = scene()
    pairs = doubted(replace(pairs, length_mm=changed(pairs.length_mm, 0, 192.0)), 0)
    needles, _ = assessed(pairs, tips, handles)
    assert any("length off by 12 mm" in doubt for doubt in needles[0].doubts)


def test_two_lengths_that_are_shared_are_both_fine():
    pairs, tips, handles = scene(count=6)
    lengths = np.array([180.0, 180, 180, 150, 150, 150])
    for index in (0, 5):
        needles, _ = assessed(doubted(replace(pairs, length_mm=lengths), index), tips, handles)
        assert not any("length" in doubt for doubt in needles[index].doubts)


def test_a_near_neighbour_is_told():
    pairs, tips, handles = scene(spacing_mm=2.2)
    needles, _ = assessed(doubted(pairs, 1), tips, handles)
    assert "another needle within 2 mm" in needles[1].doubts


def test_an_end_near_the_edge_is_told():
    pairs, tips, handles = scene()
    pairs.tips_lps[1, 2] = VOLUME.origin_lps[2] + 1.0
    needles, _ = assessed(doubted(pairs, 1), tips, handles)
    assert "tip near the edge of the volume" in needles[1].doubts
    assert "handle near the edge of the volume" not in needles[1].doubts


def test_weak_detections_are_told():
    pairs, tips, handles = scene()
    tips = replace(tips, slice_count=changed(tips.slice_count, 1, 1))
    pairs = replace(doubted(pairs, 1), tip_heatmap=changed(pairs.tip_heatmap, 1, 0.21))
    needles, _ = assessed(pairs, tips, handles)
    assert {"tip barely detected", "tip seen on one slice only"} <= set(needles[1].doubts)


def test_a_doubtful_needle_tells_that_its_tip_was_placed():
    pairs, tips, handles = scene()
    placed = replace(doubted(pairs, 1), tip=changed(pairs.tip, 1, len(tips)))
    moved = replace(placed, moved_mm=changed(pairs.moved_mm, 1, 8.0))
    needles, _ = assessed(moved, tips, handles)
    assert needles[1].doubts[0] == "tip moved 8 mm along the shaft, to the others' length"
    unseen = replace(placed, seen_as=changed(pairs.seen_as, 1, UNSEEN))
    needles, _ = assessed(unseen, tips, handles)
    assert needles[1].doubts[0] == "tip not detected: placed on the shaft, at the others' length"


def with_rivals(pairs: Pairs, rivals: list[tuple[int, int, float]]) -> Pairs:
    """Add other pairings (tip, handle, score)."""
    tip, handle, score = (np.array(column) for column in zip(*rivals, strict=True))
    order = np.concatenate((np.arange(len(pairs)), np.zeros(len(rivals), int)))
    more = pairs.take(order)
    more.tip[len(pairs) :] = tip
    more.handle[len(pairs) :] = handle
    more.score[len(pairs) :] = score
    return more


def test_swapped_handles_that_fit_as_well_are_a_tie():
    pairs, tips, handles = scene()
    tied = with_rivals(pairs, [(0, 1, GOOD_SCORE - 0.2), (1, 0, GOOD_SCORE - 0.2)])
    needles, _ = assessed(tied, tips, handles, chosen=range(4))
    assert needles[0].confidence < needles[2].confidence
    needles, _ = assessed(replace(tied, score=tied.score - 9), tips, handles, chosen=range(4))
    assert "tie with another pairing of the same ends" in needles[0].doubts


def test_an_unused_handle_that_fits_as_well_is_a_tie():
    pairs, tips, handles = scene()
    lower = replace(pairs, score=pairs.score - 9)
    tied = with_rivals(lower, [(2, 3, GOOD_SCORE - 9)])
    needles, _ = assessed(tied, tips, handles, chosen=[0, 1, 2])
    assert "tie with another pairing of the same ends" in needles[2].doubts


def test_another_tip_for_the_same_hub_is_told_with_its_distance():
    pairs, tips, handles = scene()
    lower = replace(pairs, score=pairs.score - 6)
    rivalled = with_rivals(lower, [(4, 2, GOOD_SCORE - 6.5)])
    rivalled.tips_lps[4] = rivalled.tips_lps[2] + [0, 12, 0]
    needles, _ = assessed(rivalled, tips, handles, chosen=range(4))
    assert "another tip, 12 mm away, fits this hub nearly as well" in needles[2].doubts
    assert needles[2].confidence < needles[1].confidence


def test_surplus_needles_are_judged_likewise():
    needles, surplus = assessed(*scene(), chosen=[0, 1, 2], surplus=[3])
    assert (len(needles), len(surplus)) == (3, 1)
    assert surplus[0].confidence == pytest.approx(needles[0].confidence, abs=0.05)


def test_a_needle_more_likely_wrong_than_right_is_not_listed():
    pairs, tips, handles = scene()
    assessment = assessment_of(doubted(pairs, 1), tips, handles)
    assert assessment.chosen.tolist() == [0, 2, 3]
    assert len(assessment.needles) == 3
    assert np.all(assessment.doubt <= 1 - LISTED_FROM)


def test_a_surplus_needle_takes_the_place_of_one_that_is_not_listed():
    pairs, tips, handles = scene()
    assessment = assessment_of(doubted(pairs, 1), tips, handles, chosen=[0, 1], surplus=[2, 3])
    assert assessment.chosen.tolist() == [0, 2]
    assert (len(assessment.needles), len(assessment.surplus)) == (2, 1)


def test_what_the_published_solver_chose_stands():
    pairs, tips, handles = scene()
    assert len(assessment_of(doubted(pairs, 1), tips, handles, solver=PUBLISHED).needles) == 4


def test_nothing_chosen_is_nothing_to_doubt():
    assert assessed(*scene(), chosen=np.zeros(0, int)) == ((), ())


def test_every_feature_has_a_coefficient():
    pairs, tips, handles = scene()
    nothing = np.zeros(0, int)
    matching = Matching(
        np.arange(4), nothing, nothing, nothing, NeedleCount(4, True), "default", 0.0
    )
    assert {"intercept", *needle_features(matching, pairs, tips, handles, VOLUME)} == set(MODEL)
