"""Pairs of a tip and a handle that may be needles: what is known of each, arrays side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.ct.shaft import ShaftEvidence

UNSEEN = -1
"""In :attr:`Pairs.seen_as`: no detection stands behind this tip."""


def best_of_each(end: np.ndarray, merit: np.ndarray, most: int, behind: float) -> np.ndarray:
    """Return which pairs are among the best few of their end, (n,) bool.

    Parameters
    ----------
    end
        Index of each pair's end, (n,).
    merit
        What they are compared by, (n,).
    most, behind
        So many are kept of each end, so much worse than its best at most.
    """
    kept = np.zeros(len(end), bool)
    order = np.lexsort((-merit, end))
    first = np.searchsorted(end[order], end[order])
    near = merit[order][first] - merit[order] <= behind
    kept[order[(np.arange(len(order)) - first < most) & near]] = True
    return kept


@dataclass(frozen=True)
class Pairs:
    """Feasible pairs of a case, n of them; all arrays (n,) but for the points.

    Attributes
    ----------
    tip, handle
        Indices of the two ends; no two needles may share one. Tips that were placed, not detected,
        have indices of their own, beyond those of the detected ones.
    seen_as
        Index of the detected tip from which this one was placed, the tip itself where it was
        detected, :data:`UNSEEN` where a shaft was followed from the handle alone.
    tips_lps, handles_lps
        Where they are, (n, 3) LPS mm.
    moved_mm
        How far a placed tip lies from the detection it was placed from; 0 for detected ones.
    score
        Log-odds that the pair is a needle.
    published_score
        The paper's score, for its own solver only (else 0): mean over standard deviation of the
        top-hat along the line, less 0.1 a slice of height difference and 0.01 a mm of length.
    length_mm
        Distance of the two ends.
    length_support
        Log-odds for this length from the case's other confident pairs; 0 where they say nothing.
    tip_turn_deg, handle_turn_deg
        Angle between the pair's direction and the one seen at the end.
    tip_heatmap, handle_heatmap
        How surely each end was detected, 0..1.
    shaft
        What the picture shows between the ends.
    """

    tip: np.ndarray
    handle: np.ndarray
    seen_as: np.ndarray
    tips_lps: np.ndarray
    handles_lps: np.ndarray
    moved_mm: np.ndarray
    score: np.ndarray
    published_score: np.ndarray
    length_mm: np.ndarray
    length_support: np.ndarray
    tip_turn_deg: np.ndarray
    handle_turn_deg: np.ndarray
    tip_heatmap: np.ndarray
    handle_heatmap: np.ndarray
    shaft: ShaftEvidence

    def __len__(self) -> int:
        return len(self.tip)

    @property
    def placed(self) -> np.ndarray:
        """Which pairs have a tip that was placed, not detected."""
        return self.tip != self.seen_as

    def take(self, selection: np.ndarray) -> Pairs:
        """Return the selected pairs (indices or a boolean mask)."""
        taken = {name: values[selection] for name, values in vars(self).items() if name != "shaft"}
        return Pairs(shaft=self.shaft.take(selection), **taken)

    def joined(self, other: Pairs) -> Pairs:
        """Return these pairs and then the others."""
        both = {
            name: np.concatenate((values, vars(other)[name]))
            for name, values in vars(self).items()
            if name != "shaft"
        }
        return Pairs(shaft=self.shaft.joined(other.shaft), **both)
