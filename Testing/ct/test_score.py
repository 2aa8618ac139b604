"""Pairs that are needles score above pairs that are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from needle_backend.bench.synthetic import Case, Settings, make_case
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import HANDLE, TIP, Ends
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import (
    FIRST_LOOK,
    SECOND_LOOK,
    TURN_DEG,
    first_look_features,
    score_detected,
    score_pairs,
    second_look_features,
)

OPTIONS = LocateOptions()


def ends_of(case: Case) -> tuple[Ends, Ends]:
    return tuple(fuse_over_slices(case.detections, kind, case.volume) for kind in (TIP, HANDLE))


def perfect_ends(case: Case) -> tuple[Ends, Ends]:
    """Ends exactly where they are: tip i belongs to handle i."""
    tips = np.array([needle.tip_lps for needle in case.needles])
    handles = np.array([needle.handle_lps for needle in case.needles])
    along = handles - tips
    angle = np.degrees(np.arctan2(-along[:, 1], along[:, 0]))
    sure, once = np.ones(len(tips)), np.ones(len(tips), int)
    return Ends(tips, angle, sure, once), Ends(handles, angle + 180, sure, once)


def scored(case: Case, tips: Ends, handles: Ends, **options) -> Pairs:
    tophat = TopHat.of(white_top_hat(case.volume.array), case.volume)
    return score_pairs(tips, handles, tophat, replace(OPTIONS, **options))


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(11, Settings(needles=(14, 14), fading_share=0.0, bowed_share=0.0))


def test_right_pairs_score_higher_than_nearly_all_others_of_their_tip_and_handle(case):
    pairs = scored(case, *perfect_ends(case))
    right = pairs.seen_as == pairs.handle
    for needle in range(len(case.needles)):
        (own,) = pairs.score[right & (pairs.tip == needle)]
        rivals = ~right & ((pairs.tip == needle) | (pairs.handle == needle))
        assert own > 0
        assert np.sum(pairs.score[rivals] > own) <= 1


def test_ends_without_a_shaft_between_them_are_no_pair(case):
    erased = replace(case, volume=replace(case.volume, array=np.zeros_like(case.volume.array)))
    assert len(scored(erased, *perfect_ends(case))) == 0


@pytest.mark.parametrize("tolerance_mm", [5.0, 30.0])
def test_no_pair_is_longer_or_shorter_than_allowed(case, tolerance_mm):
    pairs = scored(case, *perfect_ends(case), length_mm=200.0, length_tolerance_mm=tolerance_mm)
    assert np.abs(pairs.length_mm - 200).max(initial=0) <= tolerance_mm


def test_no_pair_points_elsewhere_than_its_ends(case):
    tips, handles = perfect_ends(case)
    turned = replace(tips, angle_deg=tips.angle_deg + 90)
    assert len(scored(case, turned, handles)) == 0
    assert scored(case, tips, handles).tip_turn_deg.max() <= TURN_DEG


def test_the_scores_do_not_depend_on_the_order_of_the_ends(case):
    tips, handles = ends_of(case)
    order = np.random.default_rng(5).permutation(len(tips))
    shuffled = Ends(**{name: values[order] for name, values in vars(tips).items()})
    pairs, again = scored(case, tips, handles), scored(case, shuffled, handles)

    def by_place(pairs: Pairs) -> np.ndarray:
        rows = np.column_stack((pairs.handle, pairs.tips_lps.round(2), pairs.score))
        return rows[np.lexsort(rows.T[::-1])]

    assert np.allclose(by_place(pairs), by_place(again), atol=1e-3)


def test_a_length_that_confident_pairs_share_speaks_for_a_pair(case):
    tophat = TopHat.of(white_top_hat(case.volume.array), case.volume)
    pairs = score_detected(*perfect_ends(case), tophat, OPTIONS)
    right = pairs.tip == pairs.handle
    far_off = np.abs(pairs.length_mm[:, None] - pairs.length_mm[right]).min(axis=1) > 8
    assert pairs.length_support[right].min() > 0
    assert pairs.length_support[far_off].max() < 0


def test_a_lone_needle_has_no_length_to_share():
    case = make_case(2, Settings(needles=(1, 1)))
    pairs = scored(case, *perfect_ends(case))
    assert pairs.length_support.tolist() == [0.0]


def test_without_ends_there_are_no_pairs(case):
    tips, handles = perfect_ends(case)
    nothing = Ends(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0, int))
    assert len(scored(case, nothing, handles)) == 0
    assert len(scored(case, tips, nothing)) == 0


def test_a_single_slice_is_enough():
    volume = Volume(np.zeros((1, 300, 60), np.int16), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0))
    volume.array[0, 20:220, 29:32] = 800
    one = np.ones(1)
    tips = Ends(np.array([[30.0, 20.0, 0.0]]), np.array([-90.0]), one, one.astype(int))
    handles = Ends(np.array([[30.0, 210.0, 0.0]]), np.array([90.0]), one, one.astype(int))
    pairs = score_pairs(tips, handles, TopHat.of(volume.array, volume), OPTIONS)
    assert pairs.score[0] > 0


def test_the_published_score_is_computed_for_its_solver(case):
    ends = perfect_ends(case)
    published = scored(case, *ends, solver="greedy-published").published_score
    assert np.ptp(published) > 0
    assert not scored(case, *ends).published_score.any()


def test_every_feature_has_a_coefficient(case):
    pairs = scored(case, *perfect_ends(case))
    first = first_look_features(pairs)
    second = second_look_features(pairs, pairs.score)
    assert {"intercept", "length_support", *first} == set(FIRST_LOOK)
    assert {"intercept", "length_support", *second} == set(SECOND_LOOK)


def test_a_tip_detected_up_the_shaft_is_moved_to_the_length_the_others_share():
    case = make_case(8, Settings(needles=(12, 12), lengths_mm=(180.0, 180.0), bowed_share=0.0))
    tips, handles = perfect_ends(case)
    true_tip = tips.points_lps[5].copy()
    tips.points_lps[5] += 0.06 * (handles.points_lps[5] - true_tip)
    tips = replace(tips, score=np.full(len(tips), 0.3))
    pairs = scored(case, tips, handles)
    moved = np.flatnonzero((pairs.seen_as == 5) & (pairs.handle == 5) & pairs.placed)
    best = moved[pairs.score[moved].argmax()]
    assert pairs.moved_mm[best] == pytest.approx(0.06 * 180, abs=0.5)
    assert pairs.tips_lps[best] == pytest.approx(true_tip, abs=1.0)


def test_a_tip_that_was_not_detected_is_placed_on_the_shaft_seen_from_its_handle():
    case = make_case(8, Settings(needles=(12, 12), lengths_mm=(180.0, 180.0), bowed_share=0.0))
    tips, handles = perfect_ends(case)
    true_tip = tips.points_lps[5]
    missed = Ends(**{name: np.delete(values, 5, axis=0) for name, values in vars(tips).items()})
    pairs = scored(case, missed, handles)
    traced = np.flatnonzero((pairs.handle == 5) & (pairs.seen_as == UNSEEN))
    best = traced[pairs.score[traced].argmax()]
    assert pairs.tips_lps[best] == pytest.approx(true_tip, abs=2.5)
    assert pairs.score[best] > 0


def test_no_tip_is_placed_where_nothing_is_seen(case):
    erased = replace(case, volume=replace(case.volume, array=np.zeros_like(case.volume.array)))
    assert not scored(erased, *perfect_ends(case)).placed.any()


def test_published_scoring_leaves_every_tip_where_it_was_detected(case):
    tips, handles = ends_of(case)
    pairs = scored(case, tips, handles, solver="greedy-published")
    assert not pairs.moved_mm.any()
    assert np.array_equal(pairs.tips_lps, tips.points_lps[pairs.tip])
