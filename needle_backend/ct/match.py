"""Match tips to handles: which of the scored pairs are the needles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from needle_backend.core.errors import InputError
from needle_backend.core.needles import NeedleCount
from needle_backend.ct.ends import Ends
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.score import PUBLISHED
from needle_backend.ct.solvers import SOLVERS, Problem, Solution, hungarian, take_in_order

ACCEPTED = 0.0
"""Log-odds from which a pair counts as a needle when nobody says how many there are."""
CONSIDERED = -0.5
"""Log-odds from which a pair may fill up a given count; below it, a needle would be invented."""
ONE_HUB_MM, ONE_HUB_THROUGH_MM = 1.0, 8.0
"""Handles this near in the slice and through the slices were seen of one hub."""


@dataclass(frozen=True)
class Matching:
    """Which pairs are needles.

    Attributes
    ----------
    chosen
        Indices into the pairs, best score first.
    surplus
        Pairs that would also be needles, but are more than the count given; best score first.
    unmatched_tips, unmatched_handles
        Indices of detected ends that neither chosen nor surplus pairs use or were placed from.
    count
        How many needles there are, and whether that was given or estimated.
    solver
        Name of the solver.
    gap
        How far the choice may be from the best possible, relative to a bound on that; 0 is optimal.
    """

    chosen: np.ndarray
    surplus: np.ndarray
    unmatched_tips: np.ndarray
    unmatched_handles: np.ndarray
    count: NeedleCount
    solver: str
    gap: float


def match(
    pairs: Pairs, tips: Ends, handles: Ends, count: int | None, solver: str = "default"
) -> Matching:
    """Choose the needles among the pairs.

    With a count, at most that many are chosen; fewer when no more are likely enough. Without one,
    every pair likely enough to be a needle may be chosen, and their number is the estimate.

    Raises
    ------
    InputError
        When the solver is unknown or the count is not positive.
    """
    if solver not in SOLVERS:
        raise InputError(f"There is no solver '{solver}'; choose one of {', '.join(SOLVERS)}.")
    if count is not None and count < 1:
        raise InputError(f"The number of needles must be at least 1, not {count}.")
    hubs = hubs_of(pairs)
    problem, candidates = _problem(pairs, hubs, count)
    if solver == PUBLISHED:
        chosen, bound = _published(pairs, hubs, tips, handles, count), hungarian(problem).bound
    else:
        solution: Solution = SOLVERS[solver](problem)
        chosen, bound = candidates[solution.chosen], solution.bound
    chosen = chosen[np.argsort(-pairs.score[chosen], kind="stable")]
    surplus = np.zeros(0, int) if count is None else _surplus(pairs, hubs, chosen)
    used = np.concatenate((chosen, surplus))
    of_used_hubs = np.flatnonzero(np.isin(hubs, hubs[pairs.handle[used]]))
    value = float((pairs.score[chosen] - _floor(count)).sum())
    return Matching(
        chosen=chosen,
        surplus=surplus,
        unmatched_tips=np.setdiff1d(np.arange(len(tips)), pairs.seen_as[used]),
        unmatched_handles=np.setdiff1d(np.arange(len(handles)), of_used_hubs),
        count=NeedleCount(count or len(chosen), estimated=count is None),
        solver=solver,
        gap=max(0.0, bound - value) / bound if bound > 0 else 0.0,
    )


def _floor(count: int | None) -> float:
    return ACCEPTED if count is None else CONSIDERED


def _problem(pairs: Pairs, hubs: np.ndarray, count: int | None) -> tuple[Problem, np.ndarray]:
    """Pose the problem over the pairs above the floor; also returns which pairs those are."""
    candidates = np.flatnonzero(pairs.score > _floor(count))
    gain = pairs.score[candidates] - _floor(count)
    return _posed(pairs.take(candidates), hubs, gain, count), candidates


def _posed(pairs: Pairs, hubs: np.ndarray, gain: np.ndarray, limit: int | None) -> Problem:
    hub = hubs[pairs.handle]
    return Problem(pairs.tip, hub, gain, pairs.tips_lps, pairs.handles_lps, limit)


def hubs_of(pairs: Pairs) -> np.ndarray:
    """Tell which handles are the same hub seen on several slices: a hub's number for each handle.

    They lie in one place in the slice, a few slices apart; two hubs that touch lie side by side.
    A handle that no pair has is a hub of its own, numbered -1.
    """
    best_first = np.argsort(-pairs.score, kind="stable")
    handle, first = np.unique(pairs.handle[best_first], return_index=True)
    places = pairs.handles_lps[best_first[first]]
    apart = np.abs(places[:, None] - places)
    one = np.hypot(apart[..., 0], apart[..., 1]) < ONE_HUB_MM
    _, hub = connected_components(one & (apart[..., 2] < ONE_HUB_THROUGH_MM), directed=False)
    hubs = np.full(handle.max(initial=-1) + 1, -1)
    hubs[handle] = hub
    return hubs


def _published(
    pairs: Pairs, hubs: np.ndarray, tips: Ends, handles: Ends, count: int | None
) -> np.ndarray:
    """Choose by the paper's score; that needs a count, which the default estimates if need be."""
    limit = len(match(pairs, tips, handles, None).chosen) if count is None else count
    return SOLVERS[PUBLISHED](_posed(pairs, hubs, pairs.published_score, limit)).chosen


def _surplus(pairs: Pairs, hubs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the pairs good enough to be needles that fit beside the chosen ones."""
    problem = _posed(pairs, hubs, pairs.score, None)
    free = ~np.isin(pairs.tip, pairs.tip[chosen]) & ~np.isin(problem.handle, problem.handle[chosen])
    likely = np.flatnonzero(free & (pairs.score > ACCEPTED))
    likely = likely[~problem.conflicts(likely, chosen).any(axis=1)]
    likely = likely[np.argsort(-pairs.score[likely], kind="stable")]
    return take_in_order(problem, likely, problem.conflicts)
