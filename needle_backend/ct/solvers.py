"""Choose the needles: the assignment problem with crossing constraints (UAP-C), and its solvers.

Every tip and handle belongs to at most one needle, no two needles are in conflict, there are at
most N of them, and the sum of their gains is to be as large as possible (Xiao et al. 2025,
matching). All solvers take a :class:`Problem` and return a :class:`Solution`; they differ in effort
and in what they can promise.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.geometry import angle_between_lines_deg, segment_distances

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CROSSING_MM = 0.3
CROSSING_DEG = 10.0
"""Needles that pass nearer than this at a larger angle would go through each other: detected ends
are a millimetre off through the slices, and real neighbours come as near as 1.5 mm."""
PUBLISHED_CROSSING_MM = 2.0
"""The paper's rule, at any angle."""
DUPLICATE_MM = 2.5
"""Two needles with both ends this near are one needle."""
NODES = 40
"""How many assignments the default solver may look at."""
TIME_LIMIT_S = 20.0
"""When the exact solver stops and states its bound."""


@dataclass(frozen=True)
class Problem:
    """Candidate needles to choose from, n of them.

    Attributes
    ----------
    tip, handle
        Indices of the ends, (n,).
    gain
        What choosing a candidate adds, (n,).
    tips_lps, handles_lps
        Where the candidates' ends lie, (n, 3) mm.
    limit
        Largest number to choose; None for any.
    """

    tip: np.ndarray
    handle: np.ndarray
    gain: np.ndarray
    tips_lps: np.ndarray
    handles_lps: np.ndarray
    limit: int | None = None

    def value(self, chosen: np.ndarray) -> float:
        """Return the sum of the chosen candidates' gains."""
        return float(self.gain[chosen].sum())

    def crossing(
        self, first: np.ndarray, second: np.ndarray, nearer_mm: float, angle_deg: float
    ) -> np.ndarray:
        """Return which of candidates ``first`` pass which of ``second`` nearer and steeper."""
        start_a, end_a = self.tips_lps[first, None], self.handles_lps[first, None]
        start_b, end_b = self.tips_lps[None, second], self.handles_lps[None, second]
        near = segment_distances(start_a, end_a, start_b, end_b) < nearer_mm
        a, b = np.nonzero(near)
        along = self.handles_lps - self.tips_lps
        angle = angle_between_lines_deg(along[first[a]], along[second[b]])
        near[a, b] = angle >= angle_deg
        return near

    def duplicates(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return which of candidates ``first`` are the same needle as which of ``second``."""
        tips = np.linalg.norm(self.tips_lps[first, None] - self.tips_lps[None, second], axis=-1)
        handles = np.linalg.norm(
            self.handles_lps[first, None] - self.handles_lps[None, second], axis=-1
        )
        return (tips < DUPLICATE_MM) & (handles < DUPLICATE_MM)

    def conflicts(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return which candidates cannot both stand, shared ends aside: a table of bools."""
        crossing = self.crossing(first, second, CROSSING_MM, CROSSING_DEG)
        return crossing | self.duplicates(first, second)

    def conflicting_pairs(self, chosen: np.ndarray) -> np.ndarray:
        """Return the pairs of chosen candidates in conflict, (m, 2), the better one first."""
        chosen = chosen[np.argsort(-self.gain[chosen], kind="stable")]
        a, b = np.nonzero(np.triu(self.conflicts(chosen, chosen), 1))
        return np.column_stack((chosen[a], chosen[b]))


@dataclass(frozen=True)
class Solution:
    """Chosen candidates (indices, ascending), and a sum of gains that no choice exceeds."""

    chosen: np.ndarray
    bound: float


def hungarian(problem: Problem) -> Solution:
    """Solve without the crossing constraint; its value bounds the constrained problem's."""
    chosen = _assign(problem, np.ones(len(problem.gain), bool))
    return Solution(chosen, problem.value(chosen))


def greedy(problem: Problem) -> Solution:
    """Take the best candidate that fits those taken before, until none is left."""
    best_first = np.argsort(-problem.gain, kind="stable")
    taken = take_in_order(problem, best_first, problem.conflicts)
    return Solution(np.sort(taken[: problem.limit]), hungarian(problem).bound)


def greedy_published(problem: Problem) -> Solution:
    """Match and merge as published, the reference (Xiao et al. 2025, matching and merging).

    Crossing means nearer than 2 mm at any angle. Above N, duplicates are merged into the better of
    the two, worst first; if there are still more than N, the lowest are left out.
    """
    best_first = np.argsort(-problem.gain, kind="stable")
    taken = take_in_order(
        problem, best_first, lambda a, b: problem.crossing(a, b, PUBLISHED_CROSSING_MM, 0.0)
    )
    if problem.limit is not None:
        for candidate in taken[::-1]:
            others = taken[taken != candidate]
            if len(taken) > problem.limit and problem.duplicates(candidate[None], others).any():
                taken = others
    return Solution(np.sort(taken[: problem.limit]), hungarian(problem).bound)


def default(problem: Problem) -> Solution:
    """Branch and bound over assignments, best bound first, looking at :data:`NODES` at most.

    Each node is an assignment that ignores conflicts but has some candidates forbidden; its value
    bounds everything below it. Where two of its needles are in conflict, either the better one
    stands and all in conflict with it go, or it goes itself. The first node without conflicts is
    the optimum. When the nodes run out, the most promising one is repaired and the bound stated.
    """
    queue = [_node(problem, np.ones(len(problem.gain), bool), 0)]
    for number in range(1, NODES, 2):
        bound, _, allowed, chosen = queue[0]
        conflicts = problem.conflicting_pairs(chosen)
        if len(conflicts) == 0:
            return Solution(chosen, -bound)
        heapq.heappop(queue)
        for side, child in enumerate(_branches(problem, allowed, conflicts[0, 0])):
            heapq.heappush(queue, _node(problem, child, number + side))
    bound, _, _, chosen = queue[0]
    return Solution(_repair(problem, chosen), -bound)


def exact(problem: Problem, time_limit_s: float = TIME_LIMIT_S) -> Solution:
    """Solve the integer program to optimality, adding conflicts only as solutions break them.

    Out of time, the default solver's choice is returned with the smaller of the two bounds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    if len(problem.gain) == 0:
        return Solution(np.zeros(0, int), 0.0)
    rows, at_most = _assignment_rows(problem)
    stop = time.monotonic() + time_limit_s
    bound = hungarian(problem).bound
    while (left := stop - time.monotonic()) > 0:
        answer = milp(
            -problem.gain,
            integrality=1,
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(rows, ub=at_most),
            options={"time_limit": left, "mip_rel_gap": 0.0},
        )
        if answer.mip_dual_bound is not None:
            bound = min(bound, -answer.mip_dual_bound)
        if answer.status != 0:
            break
        chosen = np.flatnonzero(answer.x > 0.5)
        broken = problem.conflicting_pairs(chosen)
        if len(broken) == 0:
            return Solution(chosen, problem.value(chosen))
        rows, at_most = _with_conflicts(rows, at_most, broken)
    fallback = default(problem)
    return Solution(fallback.chosen, min(bound, fallback.bound))


SOLVERS: dict[str, Callable[[Problem], Solution]] = {
    "default": default,
    "greedy-published": greedy_published,
    "greedy": greedy,
    "hungarian": hungarian,
    "exact": exact,
}


def take_in_order(
    problem: Problem, order: np.ndarray, conflicts: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Take candidates in ``order``, each that shares no end and is in no conflict with the taken.

    Returns the taken ones, in the order they were taken.
    """
    free = np.ones(len(order), bool)
    taken = []
    for place, candidate in enumerate(order):
        if not free[place]:
            continue
        taken.append(candidate)
        rest = place + 1 + np.flatnonzero(free[place + 1 :])
        later = order[rest]
        fits = problem.tip[later] != problem.tip[candidate]
        fits &= problem.handle[later] != problem.handle[candidate]
        fits[fits] = ~conflicts(order[place, None], later[fits])[0]
        free[rest] = fits
    return np.array(taken, int)


Node = tuple[float, int, np.ndarray, np.ndarray]
"""Minus the bound, a number that settles ties, the allowed candidates, the assignment."""


def _node(problem: Problem, allowed: np.ndarray, number: int) -> Node:
    chosen = _assign(problem, allowed)
    return -problem.value(chosen), number, allowed, chosen


def _branches(problem: Problem, allowed: np.ndarray, candidate: np.int64) -> Iterator[np.ndarray]:
    """Split what is allowed: ``candidate`` stands and its conflicts go, or it goes."""
    in_conflict = problem.conflicts(candidate[None], np.arange(len(allowed)))[0]
    in_conflict[candidate] = False
    yield allowed & ~in_conflict
    without = allowed.copy()
    without[candidate] = False
    yield without


def _repair(problem: Problem, chosen: np.ndarray) -> np.ndarray:
    """Keep what can stand of an assignment, best first, and fill up with what then fits."""
    kept = np.zeros(len(problem.gain), bool)
    kept[chosen] = True
    order = np.lexsort((-problem.gain, ~kept))
    return np.sort(take_in_order(problem, order, problem.conflicts)[: problem.limit])


def _assign(problem: Problem, allowed: np.ndarray) -> np.ndarray:
    """Return the allowed candidates of the best assignment of at most ``limit`` needles."""
    from scipy.optimize import linear_sum_assignment

    candidates = np.flatnonzero(allowed & (problem.gain > 0))
    if len(candidates) == 0 or problem.limit == 0:
        return np.zeros(0, int)
    # Of candidates with the same two ends the last one written stands: the best.
    candidates = candidates[np.argsort(problem.gain[candidates], kind="stable")]
    tips, tip = np.unique(problem.tip[candidates], return_inverse=True)
    handles, handle = np.unique(problem.handle[candidates], return_inverse=True)
    gain = np.zeros((len(tips), len(handles)))
    gain[tip, handle] = problem.gain[candidates]
    candidate_at = np.full(gain.shape, -1)
    candidate_at[tip, handle] = candidates
    chosen = _candidates_on(candidate_at, linear_sum_assignment(gain, maximize=True))
    if problem.limit is not None and len(chosen) > problem.limit:
        table = _with_dummies(gain, problem.limit)
        chosen = _candidates_on(candidate_at, linear_sum_assignment(table, maximize=True))
    return np.sort(chosen)


def _candidates_on(candidate_at: np.ndarray, cells: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    row, column = cells
    real = (row < candidate_at.shape[0]) & (column < candidate_at.shape[1])
    found = candidate_at[row[real], column[real]]
    return found[found >= 0]


def _with_dummies(gain: np.ndarray, limit: int) -> np.ndarray:
    """Add dummy handles and tips that must be taken, so that only ``limit`` real pairs remain."""
    rows, columns = gain.shape
    size = rows + columns - limit
    must = 2.0 * gain.sum() + 1.0
    table = np.full((size, size), must)
    table[:rows, :columns] = gain
    table[rows:, columns:] = -size * must
    return table


def _assignment_rows(problem: Problem) -> tuple[csr_array, np.ndarray]:
    """Each end, and all needles together, as rows of the integer program with their limits."""
    from scipy.sparse import csr_array, vstack

    count = len(problem.gain)
    candidates = np.arange(count)
    ones = np.ones(count)
    rows = [csr_array((ones, (end, candidates))) for end in (problem.tip, problem.handle)]
    at_most = [np.ones(matrix.shape[0]) for matrix in rows]
    if problem.limit is not None:
        rows.append(csr_array(ones[None]))
        at_most.append(np.array([problem.limit], float))
    return vstack(rows, format="csr"), np.concatenate(at_most)


def _with_conflicts(
    rows: csr_array, at_most: np.ndarray, broken: np.ndarray
) -> tuple[csr_array, np.ndarray]:
    """Add a row for each pair of candidates that cannot both stand."""
    from scipy.sparse import csr_array, vstack

    index = np.repeat(np.arange(len(broken)), 2)
    shape = (len(broken), rows.shape[1])
    added = csr_array((np.ones(broken.size), (index, broken.ravel())), shape=shape)
    return vstack((rows, added), format="csr"), np.append(at_most, np.ones(len(broken)))
