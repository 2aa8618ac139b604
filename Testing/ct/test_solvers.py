"""What every solver must keep to, and which may promise more than which."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.ct.solvers import SOLVERS, Problem, exact

FREE_OF_CONFLICTS = ("default", "greedy", "exact")


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Random ends in a box small enough for many crossings, some pairs of them as candidates."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tips, handles = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    tip, handle = np.nonzero(rng.random((tips, handles)) < draw(st.sampled_from([0.3, 0.7, 1.0])))
    width = draw(st.sampled_from([3.0, 12.0, 60.0]))
    tips_lps = rng.uniform(0, 1, (tips, 3)) * [width, 10, 3]
    handles_lps = rng.uniform(0, 1, (handles, 3)) * [width, 10, 3] + [0, 150, 0]
    gain = rng.uniform(0.1, 10, len(tip))
    limit = draw(st.one_of(st.none(), st.integers(1, 7)))
    return Problem(tip, handle, gain, tips_lps[tip], handles_lps[handle], limit)


@pytest.mark.parametrize("name", SOLVERS)
@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_every_end_is_used_once_and_the_count_is_kept(name, problem):
    chosen = SOLVERS[name](problem).chosen
    assert len(np.unique(problem.tip[chosen])) == len(chosen)
    assert len(np.unique(problem.handle[chosen])) == len(chosen)
    assert problem.limit is None or len(chosen) <= problem.limit
    assert np.all(np.diff(chosen) > 0)


@pytest.mark.parametrize("name", FREE_OF_CONFLICTS)
@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_no_two_chosen_needles_cross_or_coincide(name, problem):
    chosen = SOLVERS[name](problem).chosen
    assert len(problem.conflicting_pairs(chosen)) == 0


@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_effort_pays_and_bounds_hold(problem):
    solutions = {name: SOLVERS[name](problem) for name in SOLVERS}
    value = {name: problem.value(solution.chosen) for name, solution in solutions.items()}
    assert value["hungarian"] >= value["exact"] - 1e-6
    assert value["exact"] >= value["default"] - 1e-6
    assert value["exact"] >= value["greedy"] - 1e-6
    assert solutions["exact"].bound == pytest.approx(value["exact"])
    for name in FREE_OF_CONFLICTS:
        assert solutions[name].bound >= value["exact"] - 1e-6


@given(problem=problems(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_choice_does_not_depend_on_the_order_of_candidates(problem, seed):
    order = np.random.default_rng(seed).permutation(len(problem.gain))
    shuffled = Problem(
        problem.tip[order],
        problem.handle[order],
        problem.gain[order],
        problem.tips_lps[order],
        problem.handles_lps[order],
        problem.limit,
    )
    for name in ("default", "greedy", "hungarian", "greedy-published"):
        chosen = SOLVERS[name](problem).chosen
        assert set(order[SOLVERS[name](shuffled).chosen]) == set(chosen)


def enumerated(problem: Problem) -> float:
    """The best value of all feasible choices."""
    best = 0.0
    indices = np.arange(len(problem.gain))
    clash = problem.conflicts(indices, indices)
    clash |= problem.tip[:, None] == problem.tip
    clash |= problem.handle[:, None] == problem.handle

    def extend(first: int, allowed: np.ndarray, value: float, left: int) -> None:
        nonlocal best
        best = max(best, value)
        if left == 0:
            return
        for index in range(first, len(indices)):
            if allowed[index]:
                extend(index + 1, allowed & ~clash[index], value + problem.gain[index], left - 1)

    limit = len(indices) if problem.limit is None else problem.limit
    extend(0, np.ones(len(indices), bool), 0.0, limit)
    return best


@given(problem=problems().filter(lambda p: len(p.gain) <= 16))
@settings(max_examples=30, deadline=None)
def test_the_exact_solver_finds_the_best_of_all_choices(problem):
    assert problem.value(exact(problem).chosen) == pytest.approx(enumerated(problem))


def crossing_problem() -> Problem:
    """Two needles side by side; crossed over, each pair alone scores better."""
    tips = np.array([[0.0, 0, 0], [40, 0, 0]])
    handles = np.array([[0.0, 150, 0], [40, 150, 0]])
    tip, handle = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    gain = np.array([2.0, 3.0, 3.0, 2.0])
    return Problem(tip, handle, gain, tips[tip], handles[handle])


@pytest.mark.parametrize("name", ["default", "exact"])
def test_needles_through_each_other_give_way_to_needles_side_by_side(name):
    assert SOLVERS[name](crossing_problem()).chosen.tolist() == [0, 3]


def test_without_the_constraint_they_would_cross():
    assert SOLVERS["hungarian"](crossing_problem()).chosen.tolist() == [1, 2]


def touching_problem(gap_mm: float) -> Problem:
    """Two parallel needles, one of them ``gap_mm`` beside the other along its whole length."""
    tips = np.array([[0.0, 0, 0], [gap_mm, 10, 0]])
    handles = tips + [0, 150, 0]
    index = np.arange(2)
    return Problem(index, index, np.array([2.0, 1.0]), tips, handles, limit=2)


def test_parallel_neighbours_may_touch_except_by_the_published_rule():
    problem = touching_problem(1.0)
    assert len(SOLVERS["default"](problem).chosen) == 2
    assert len(SOLVERS["greedy-published"](problem).chosen) == 1


def test_one_needle_detected_twice_is_chosen_once():
    tips = np.array([[0.0, 0, 0], [1.5, 1, 0]])
    index = np.arange(2)
    problem = Problem(index, index, np.array([2.0, 1.0]), tips, tips + [0, 150, 0])
    for name in FREE_OF_CONFLICTS:
        assert SOLVERS[name](problem).chosen.tolist() == [0]


def test_published_merging_drops_the_worse_double_before_a_lower_needle():
    tips = np.array([[0.0, 0, 0], [2.1, 0, 0], [30, 0, 0]])
    index = np.arange(3)
    gain = np.array([3.0, 2.0, 1.0])
    problem = Problem(index, index, gain, tips, tips + [0, 150, 0], limit=2)
    assert SOLVERS["greedy-published"](problem).chosen.tolist() == [0, 2]


def test_out_of_time_the_exact_solver_states_a_bound():
    problem = crossing_problem()
    solution = exact(problem, time_limit_s=0.0)
    assert solution.bound >= problem.value(solution.chosen) > 0


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_to_choose_from_is_no_error(name):
    nothing, nowhere = np.zeros(0, int), np.zeros((0, 3))
    solution = SOLVERS[name](Problem(nothing, nothing, np.zeros(0), nowhere, nowhere, limit=3))
    assert len(solution.chosen) == 0
    assert solution.bound == 0


@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_a_conflict_is_mutual(problem):
    every = np.arange(len(problem.gain))
    conflicts = problem.conflicts(every, every)
    assert np.array_equal(conflicts, conflicts.T)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("gain", [(1.0, 3.0), (3.0, 1.0)])
def test_of_two_candidates_with_the_same_ends_the_better_is_chosen(name, gain):
    """As where one hub was seen twice, with a handle each."""
    tips = np.zeros((2, 3))
    handles = np.array([[0.0, 180.0, 0.0], [0.0, 180.0, 4.0]])
    problem = Problem(np.zeros(2, int), np.zeros(2, int), np.array(gain), tips, handles)
    assert SOLVERS[name](problem).chosen.tolist() == [int(np.argmax(gain))]
