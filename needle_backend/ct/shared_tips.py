"""Let two needles claim one detected tip: where they end side by side, it may stand for both.

Each pair knows by then where its own end lies (:mod:`needle_backend.ct.second_look`), so two
needles of one detection need not end in one place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from needle_backend.ct.pairs import Pairs

LEAST_APART_MM = 1.0
"""Two shafts that end nearer to each other are one."""


def with_second_claims(pairs: Pairs, cost: float) -> Pairs:
    """Return the pairs, and once more those that would be their tip's second needle.

    A second claim names a tip of its own, as a placed one does, so both may be chosen.

    Parameters
    ----------
    pairs
        Scored pairs, their ends put right.
    cost
        Log-odds by which a second claim to a tip scores less than the first.
    """
    best = _best_of_each_tip(pairs)[pairs.tip]
    apart_mm = np.linalg.norm(pairs.tips_lps - pairs.tips_lps[best], axis=1)
    second = np.flatnonzero(~pairs.placed & (apart_mm > LEAST_APART_MM) & (pairs.score > cost))
    claims = pairs.take(second)
    own = pairs.tip.max(initial=-1) + 1 + claims.tip
    return pairs.joined(replace(claims, tip=own, score=claims.score - cost))


def _best_of_each_tip(pairs: Pairs) -> np.ndarray:
    """Return the index of the best pair of each tip, by the tip's index."""
    order = np.argsort(pairs.score, kind="stable")
    best = np.zeros(pairs.tip.max(initial=-1) + 1, int)
    best[pairs.tip[order]] = order
    return best
