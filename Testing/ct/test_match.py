"""From scored pairs to needles: counts, surplus, leftovers, and how good it is on whole cases."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.bench.synthetic import Case, Settings, make_case
from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.ct.ends import HANDLE, TIP, Ends
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.match import Matching, match
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import score_pairs
from needle_backend.ct.solvers import SOLVERS
from needle_backend.ct.training.evaluate import compare_ends

Posed = tuple[Pairs, Ends, Ends]


def posed(case: Case, solver: str = "default") -> Posed:
    tips, handles = (fuse_over_slices(case.detections, k, case.volume) for k in (TIP, HANDLE))
    tophat = white_top_hat(case.volume.array)
    options = LocateOptions(solver=solver)
    return score_pairs(tips, handles, TopHat.of(tophat, case.volume), options), tips, handles


def found(case: Case, problem: Posed, matching: Matching) -> int:
    chosen = problem[0].take(matching.chosen)
    ends = np.stack((chosen.tips_lps, chosen.handles_lps), axis=1)
    truth = np.array([(n.tip_lps, n.handle_lps) for n in case.needles])
    return len(compare_ends(truth, ends, gate_mm=5.0).pairs)


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(21, Settings(needles=(16, 16), missed=0.0, false=0.1))


@pytest.fixture(scope="module")
def problem(case) -> Posed:
    return posed(case)


@pytest.mark.parametrize("solver", SOLVERS)
def test_with_the_count_given_there_are_never_more_needles(problem, solver):
    for count in (1, 5, 16, 60):
        matching = match(*problem, count, solver)
        assert len(matching.chosen) <= count
        assert (matching.count.value, matching.count.estimated) == (count, False)
        assert matching.solver == solver


def test_needles_are_ordered_by_score(problem):
    pairs, _, _ = problem
    assert np.all(np.diff(pairs.score[match(*problem, 16).chosen]) <= 0)


def test_above_the_count_good_pairs_become_surplus(problem):
    pairs, tips, handles = problem
    all_of_them = match(*problem, None)
    half = match(*problem, len(all_of_them.chosen) // 2)
    assert len(half.surplus) > 0
    assert pairs.score[half.surplus].max() <= pairs.score[half.chosen].max()
    together = np.concatenate((half.chosen, half.surplus))
    assert len(np.unique(pairs.tip[together])) == len(together)
    assert len(np.unique(pairs.handle[together])) == len(together)


def test_below_the_count_ends_are_reported_and_no_needle_is_invented(problem, case):
    pairs, tips, handles = problem
    many = match(*problem, 60)
    assert len(many.chosen) < 60
    assert len(many.surplus) == 0
    assert found(case, problem, many) >= len(many.chosen) - 2


def test_every_end_is_used_or_reported_once(problem):
    pairs, tips, handles = problem
    for count in (None, 4, 16):
        matching = match(*problem, count)
        used = np.concatenate((matching.chosen, matching.surplus))
        detected = pairs.seen_as[used][pairs.seen_as[used] != UNSEEN]
        tips_told = np.concatenate((detected, matching.unmatched_tips))
        handles_told = np.concatenate((pairs.handle[used], matching.unmatched_handles))
        assert len(np.unique(pairs.tip[used])) == len(used)
        assert np.unique(tips_told).tolist() == list(range(len(tips)))
        assert not np.isin(matching.unmatched_tips, detected).any()
        assert np.sort(handles_told).tolist() == list(range(len(handles)))


def test_an_unknown_count_is_estimated_and_said_to_be(problem, case):
    matching = match(*problem, None)
    assert matching.count.estimated
    assert matching.count.value == len(matching.chosen)
    assert abs(matching.count.value - len(case.needles)) <= 3


def test_the_same_input_gives_the_same_needles(problem):
    first, second = match(*problem, 16), match(*problem, 16)
    assert np.array_equal(first.chosen, second.chosen)


def test_a_picture_without_shafts_holds_no_needles(case):
    tips, handles = (fuse_over_slices(case.detections, k, case.volume) for k in (TIP, HANDLE))
    noise = np.random.default_rng(1).normal(20, 12, case.volume.array.shape).clip(0)
    pairs = score_pairs(
        tips, handles, TopHat.of(noise.astype(np.int16), case.volume), LocateOptions()
    )
    assert len(match(pairs, tips, handles, None).chosen) == 0


def test_no_ends_give_no_needles(case):
    nothing = Ends(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0, int))
    pairs = score_pairs(
        nothing, nothing, TopHat.of(case.volume.array, case.volume), LocateOptions()
    )
    for solver in SOLVERS:
        matching = match(pairs, nothing, nothing, None, solver)
        assert len(matching.chosen) == 0
        assert matching.gap == 0


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_below_one_is_refused(problem, count):
    with pytest.raises(InputError, match="at least 1"):
        match(*problem, count)


def test_an_unknown_solver_is_refused_with_the_ones_there_are(problem):
    with pytest.raises(InputError, match="default, greedy-published"):
        match(*problem, 5, "simplex")


def test_whole_cases_are_matched_well_and_far_better_than_as_published():
    hits = {"default": 0, "greedy-published": 0}
    wanted = chosen = 0
    for seed in range(40, 46):
        case = make_case(seed, Settings(needles=(8, 20), missed=0.0, false=0.05))
        for solver in hits:
            problem = posed(case, solver)
            matching = match(*problem, len(case.needles), solver)
            hits[solver] += found(case, problem, matching)
            if solver == "default":
                chosen += len(matching.chosen)
        wanted += len(case.needles)
    assert 2 * hits["default"] / (wanted + chosen) > 0.9
    assert hits["default"] > hits["greedy-published"]


def test_one_hub_seen_on_two_slices_holds_one_needle_and_leaves_no_handle_over():
    case = make_case(3, Settings(needles=(6, 6), bowed_share=0.0, fading_share=0.0))
    tips, handles = (fuse_over_slices(case.detections, k, case.volume) for k in (TIP, HANDLE))
    twice = Ends(**{name: np.concatenate((v, v)) for name, v in vars(handles).items()})
    twice.points_lps[len(handles) :, 2] += 6.0
    once = match(score_pairs(*_seen(case, tips, handles)), tips, handles, None)
    again = match(score_pairs(*_seen(case, tips, twice)), tips, twice, None)
    assert len(again.chosen) == len(once.chosen)
    assert len(again.unmatched_handles) <= 2 * len(once.unmatched_handles)


def test_a_hub_that_fits_no_tip_is_reported():
    case = make_case(3, Settings(needles=(6, 6), bowed_share=0.0, fading_share=0.0))
    tips, handles = (fuse_over_slices(case.detections, k, case.volume) for k in (TIP, HANDLE))
    # The first handle of all, so that others with pairs have higher numbers.
    alone = Ends(**{name: np.concatenate((v[:1], v)) for name, v in vars(handles).items()})
    alone.points_lps[0] += [0.0, 120.0, 0.0]
    pairs = score_pairs(*_seen(case, tips, alone))
    assert 0 not in pairs.handle
    assert 0 in match(pairs, tips, alone, None).unmatched_handles


def _seen(case: Case, tips: Ends, handles: Ends) -> tuple:
    tophat = TopHat.of(white_top_hat(case.volume.array), case.volume)
    return tips, handles, tophat, LocateOptions()
