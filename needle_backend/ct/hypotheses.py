"""Place tips that were not detected, or not where they are, on shafts that can be seen.

A tip that fades, leaves its slice, or lies beside another's is detected millimetres up its shaft,
together with the other, or not at all. The line is right then, and the lengths that the case's
confident needles share tell where on it the tip is. Nothing is placed where no shaft is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import unit_vectors
from needle_backend.ct.ends import Ends
from needle_backend.ct.pairs import UNSEEN, Pairs, best_of_each
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.shaft import glance, ridge_shifts, shaft_evidence
from needle_backend.ct.trace import trace_shafts

LEAST_MOVE_MM, LARGEST_MOVE_MM = 3.0, 25.0
"""How far a tip may be moved along its needle to a length that the case shares."""
PROMISING, SETTLED = -3.0, 1.0
"""Tips are placed on the lines of pairs this likely, lengths aside; a handle that has a pair so
likely, with a tip that no other handle claims, needs none."""
LEAST_HUB_HEATMAP = 0.4
"""Shafts are followed from handles detected this surely."""
LENGTHS_TRIED = 4
TRACED_PER_HANDLE = 3
SHIFTS_OF_TRACED = 2
"""How often a followed line is laid onto the shaft it follows."""
KEPT_PER_HANDLE = 6
"""Most placed tips a handle that get a closer look."""
LARGEST_SHIFT_MM = 3.0
"""A fitted path ends at most so far beside the line it was fitted along."""


@dataclass(frozen=True)
class _Lines:
    """Where tips might be placed: n lines, with the detection behind each."""

    handle: np.ndarray
    seen_as: np.ndarray
    tips_lps: np.ndarray
    handles_lps: np.ndarray
    tip_turn_deg: np.ndarray
    tip_heatmap: np.ndarray

    def take(self, selection: np.ndarray) -> _Lines:
        return _Lines(**{name: values[selection] for name, values in vars(self).items()})

    def joined(self, other: _Lines) -> _Lines:
        return _Lines(**{n: np.concatenate((v, vars(other)[n])) for n, v in vars(self).items()})


def placed_pairs(
    detected: Pairs,
    handles: Ends,
    lengths_aside: np.ndarray,
    shared_mm: np.ndarray,
    tip_count: int,
    tophat: TopHat,
) -> Pairs:
    """Return pairs with placed tips, not scored yet.

    Parameters
    ----------
    detected
        Scored pairs of detected ends.
    handles
        Fused handles.
    lengths_aside
        The scores without what the pairs' lengths contribute, (n,).
    shared_mm
        Lengths that several needles share, those with most agreement first.
    tip_count
        How many tips were detected; placed ones are numbered from there.
    """
    claimed = _best(detected.tip, detected.score, tip_count)
    rival = claimed[detected.tip] > detected.score
    uncontested = np.where(rival, -np.inf, detected.score)
    settled = _best(detected.handle, uncontested, len(handles)) >= SETTLED
    lines = _lines_of_pairs(detected, lengths_aside, shared_mm, settled, rival)
    if len(shared_mm) > 0:
        unsure = np.flatnonzero(~settled & (handles.score >= LEAST_HUB_HEATMAP))
        lines = lines.joined(_traced_lines(handles, unsure, shared_mm, tophat))
    return _as_pairs(lines, detected, handles, tip_count, tophat)


def _lines_of_pairs(
    detected: Pairs,
    lengths_aside: np.ndarray,
    shared_mm: np.ndarray,
    settled: np.ndarray,
    rival: np.ndarray,
) -> _Lines:
    """Lay tips on detected pairs' lines: at shared lengths, or for a second needle at their tip."""
    promising = lengths_aside > PROMISING
    shift = np.abs(shared_mm - detected.length_mm[:, None])
    near = (shift > LEAST_MOVE_MM) & (shift <= LARGEST_MOVE_MM)
    moved, length = np.nonzero(near & (promising & (rival | ~settled[detected.handle]))[:, None])
    second = np.flatnonzero(rival & (detected.score > PROMISING))
    index = np.concatenate((moved, second))
    length_mm = np.concatenate((shared_mm[length], _snapped(detected.length_mm[second], shared_mm)))
    pairs = detected.take(index)
    beside = _shifted(pairs.tips_lps, pairs.handles_lps, pairs.shaft.tip_shift_mm)
    along = unit_vectors(beside - pairs.handles_lps)
    return _Lines(
        pairs.handle,
        pairs.seen_as,
        pairs.handles_lps + length_mm[:, None] * along,
        pairs.handles_lps,
        pairs.tip_turn_deg,
        pairs.tip_heatmap,
    )


def _traced_lines(
    handles: Ends, chosen: np.ndarray, shared_mm: np.ndarray, tophat: TopHat
) -> _Lines:
    """Lay tips on shafts followed from handles, at the lengths that most needles share."""
    rays = trace_shafts(handles, chosen, tophat)
    tried = shared_mm[:LENGTHS_TRIED]
    handle = np.repeat(rays.handle, len(tried))
    handles_lps = handles.points_lps[handle]
    length_mm = np.tile(tried, len(rays.handle))[:, None]
    tips_lps = handles_lps + length_mm * np.repeat(rays.direction, len(tried), axis=0)
    promise = glance(tips_lps, handles_lps, tophat)
    kept = best_of_each(handle, promise, TRACED_PER_HANDLE, np.inf)
    handle, handles_lps = handle[kept], handles_lps[kept]
    length_mm, tips_lps = length_mm[kept], tips_lps[kept]
    for _ in range(SHIFTS_OF_TRACED):
        shift = ridge_shifts(tips_lps, handles_lps, tophat)[:, 0]
        along = unit_vectors(_shifted(tips_lps, handles_lps, shift) - handles_lps)
        tips_lps = handles_lps + length_mm * along
    nothing = np.zeros(len(handle))
    unseen = np.full(len(handle), UNSEEN)
    return _Lines(handle, unseen, tips_lps, handles_lps, nothing, nothing)


def _as_pairs(
    lines: _Lines,
    detected: Pairs,
    handles: Ends,
    tip_count: int,
    tophat: TopHat,
) -> Pairs:
    """Look at the shafts of the lines that end inside the volume."""
    ijk = tophat.volume.lps_to_ijk(lines.tips_lps)
    inside = ((ijk > -0.5) & (ijk < np.array(tophat.array.shape[::-1]) - 0.5)).all(axis=1)
    lines = lines.take(inside)
    promise = glance(lines.tips_lps, lines.handles_lps, tophat)
    lines = lines.take(best_of_each(lines.handle, promise, KEPT_PER_HANDLE, np.inf))
    nothing = np.zeros(len(lines.handle))
    where = np.zeros((tip_count, 3))
    where[detected.tip] = detected.tips_lps
    moved_mm = np.linalg.norm(lines.tips_lps - where[lines.seen_as], axis=1)
    return Pairs(
        tip=tip_count + np.arange(len(lines.handle)),
        handle=lines.handle,
        seen_as=lines.seen_as,
        tips_lps=lines.tips_lps,
        handles_lps=lines.handles_lps,
        moved_mm=np.where(lines.seen_as == UNSEEN, 0.0, moved_mm),
        score=nothing,
        published_score=nothing,
        length_mm=np.linalg.norm(lines.tips_lps - lines.handles_lps, axis=1),
        length_support=nothing,
        tip_turn_deg=lines.tip_turn_deg,
        handle_turn_deg=nothing,
        tip_heatmap=lines.tip_heatmap,
        handle_heatmap=handles.score[lines.handle],
        shaft=shaft_evidence(lines.tips_lps, lines.handles_lps, tophat),
    )


def _best(index: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    """Return the best score among the pairs of each end, (count,)."""
    best = np.full(count, -np.inf)
    np.maximum.at(best, index, score)
    return best


def _snapped(length_mm: np.ndarray, shared_mm: np.ndarray) -> np.ndarray:
    """Return lengths, replaced by the nearest shared one where that is near."""
    if len(shared_mm) == 0:
        return length_mm
    nearest = shared_mm[np.abs(shared_mm - length_mm[:, None]).argmin(axis=1)]
    return np.where(np.abs(nearest - length_mm) <= LEAST_MOVE_MM, nearest, length_mm)


def _shifted(tips_lps: np.ndarray, handles_lps: np.ndarray, shift_mm: np.ndarray) -> np.ndarray:
    """Move tips across their needles in the slice, as fitted paths begin beside them."""
    along = handles_lps - tips_lps
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0])))
    shift_mm = np.clip(shift_mm, -LARGEST_SHIFT_MM, LARGEST_SHIFT_MM)
    moved = tips_lps.copy()
    moved[:, :2] += shift_mm[:, None] * across
    return moved
