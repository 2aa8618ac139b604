"""Which ends that no needle uses may be a missed needle's: those are shown, the surest first.

A detector sees many tips that are none, so that an end left over says little by itself. More is
said by the hub it could go with, free or in use by a needle in doubt, by a doubtful needle that
ends near by, and by how far it lies off the shafts of the needles that were found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import segment_distances
from needle_backend.ct.doubts import Assessment
from needle_backend.ct.ends import Ends
from needle_backend.ct.match import hubs_of
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.score import log_odds

SHOWN_FROM = 0.07
"""Probability of being a missed needle's from which an end is shown. On hard simulated cases 85 %
of the missed needles then show one; of the tips left over, a third is shown."""
APART_MM = 5.0
"""Of loose tips nearer to each other the surest is shown."""
NEARBY_MM = 15.0
"""Doubt about a needle that ends so near may be about a tip."""

TIP_MODEL = {
    "intercept": -4.189,
    "heatmap": 0.979,
    "slices": 0.648,
    "claimed": 1.606,
    "claim": 0.29,
    "tip_mm": 0.179,
    "shaft_mm": 0.403,
    "doubt_nearby": 0.417,
}
HANDLE_MODEL = {"intercept": -17.546, "heatmap": 15.411, "score": 0.246, "handle_mm": 1.462}
"""Log-odds a unit of each feature of :func:`loose_tips` and :func:`loose_handles`, fitted on
simulated cases with :func:`needle_backend.ct.training.calibrate.fit_loose_ends`."""

_NO_PAIR = -8.0
_FAR_MM = 50.0


@dataclass(frozen=True)
class LooseEnds:
    """Ends of one class that no needle uses: where, (n, 3) LPS mm, and what is known, (n,) each."""

    points_lps: np.ndarray
    features: dict[str, np.ndarray]


def loose_ends(
    assessment: Assessment, pairs: Pairs, tips: Ends, handles: Ends
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tips and the handles to show, (n, 3) LPS mm each, the surest first."""
    return (
        _shown(loose_tips(assessment, pairs, tips), TIP_MODEL, APART_MM),
        _shown(loose_handles(assessment, pairs, handles), HANDLE_MODEL, 0.0),
    )


def loose_tips(assessment: Assessment, pairs: Pairs, tips: Ends) -> LooseEnds:
    """Return the detected tips that no needle uses, and the tips that other pairs would have.

    The latter were placed on a shaft, or are another needle's claim to a tip in use.
    """
    chosen = assessment.chosen
    unused = np.isin(np.arange(len(pairs)), chosen, invert=True)
    detected = np.setdiff1d(np.arange(len(tips)), pairs.seen_as[chosen])
    claimed = np.flatnonzero(unused & (pairs.placed | ~np.isin(pairs.seen_as, detected)))
    points_lps = np.concatenate((tips.points_lps[detected], pairs.tips_lps[claimed]))
    claim = _claims(assessment, pairs)
    best_claim = _best(pairs.seen_as[unused], claim[unused], len(tips))[detected]
    nothing = np.zeros(len(claimed))
    tip_mm, shaft_mm, doubt_nearby = _surroundings(points_lps, assessment, pairs)
    return LooseEnds(
        points_lps,
        {
            "heatmap": np.concatenate((tips.score[detected], pairs.tip_heatmap[claimed])),
            "slices": np.concatenate((np.minimum(tips.slice_count[detected], 3), nothing)),
            "claimed": np.concatenate((np.zeros(len(detected)), nothing + 1)),
            "claim": np.clip(np.concatenate((best_claim, claim[claimed])), _NO_PAIR, 4.0),
            "tip_mm": np.minimum(tip_mm, 8.0),
            "shaft_mm": np.minimum(shaft_mm, 4.0),
            "doubt_nearby": np.log(0.01 + doubt_nearby),
        },
    )


def loose_handles(assessment: Assessment, pairs: Pairs, handles: Ends) -> LooseEnds:
    """Return the detected handles of hubs that no needle uses."""
    chosen = assessment.chosen
    hubs = hubs_of(pairs)
    used = np.flatnonzero(np.isin(hubs, hubs[pairs.handle[chosen]]))
    free = np.setdiff1d(np.arange(len(handles)), used)
    points_lps = handles.points_lps[free]
    apart_mm = np.linalg.norm(points_lps[:, None] - pairs.handles_lps[chosen], axis=-1)
    score = _best(pairs.handle, pairs.score, len(handles))[free]
    return LooseEnds(
        points_lps,
        {
            "heatmap": handles.score[free],
            "score": np.clip(score, -6.0, 4.0),
            "handle_mm": np.minimum(apart_mm.min(axis=1, initial=_FAR_MM), 6.0),
        },
    )


def _claims(assessment: Assessment, pairs: Pairs) -> np.ndarray:
    """Return each pair's log-odds, and the log-probability that its hub is free for it."""
    hubs = hubs_of(pairs)
    hub = hubs[pairs.handle]
    log_free = np.zeros(hubs.max(initial=-1) + 1)
    log_free[hub[assessment.chosen]] = np.log(np.maximum(assessment.doubt, 1e-3))
    return pairs.score + log_free[hub]


def _best(index: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return the best value of each end that has any, by its index; negative indices are none."""
    best = np.full(count, _NO_PAIR)
    known = index >= 0
    np.maximum.at(best, index[known], values[known])
    return best


def _surroundings(
    points_lps: np.ndarray, assessment: Assessment, pairs: Pairs
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how far the nearest needle's tip and shaft are, mm, and the worst doubt near by."""
    tips_lps, handles_lps = pairs.tips_lps[assessment.chosen], pairs.handles_lps[assessment.chosen]
    points = points_lps[:, None]
    tip_mm = np.linalg.norm(points - tips_lps, axis=-1)
    shaft_mm = segment_distances(points, points, tips_lps[None], handles_lps[None])
    doubt = np.where(tip_mm < NEARBY_MM, assessment.doubt, 0.0)
    return (
        tip_mm.min(axis=1, initial=_FAR_MM),
        shaft_mm.min(axis=1, initial=_FAR_MM),
        doubt.max(axis=1, initial=0.0),
    )


def _shown(loose: LooseEnds, model: dict[str, float], apart_mm: float) -> np.ndarray:
    """Return the points sure enough to be shown, the surest first."""
    probability = 1 / (1 + np.exp(-log_odds(loose.features, model)))
    kept: list[np.ndarray] = []
    for place in np.argsort(-probability, kind="stable"):
        point = loose.points_lps[place]
        near = any(np.linalg.norm(point - other) < apart_mm for other in kept)
        if probability[place] >= SHOWN_FROM and not near:
            kept.append(point)
    return np.array(kept).reshape(-1, 3)
