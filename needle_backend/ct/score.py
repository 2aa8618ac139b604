"""Score which tip belongs to which handle: every feasible pair of a case at once.

A score is the log-odds that a pair is a needle: what the shaft looks like (:mod:`.shaft`), how well
the pair's direction fits the directions seen at both ends, and whether its length is one that the
case's confident pairs share. Zero means as likely as not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from needle_backend.core.geometry import polar_angle_deg, wrap_deg
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import Ends
from needle_backend.ct.shaft import ShaftEvidence, glance, shaft_evidence

TURN_DEG = 30.0
"""Largest angle between a pair's direction and the one seen at either end. The paper allows 20, but
a network's directions have long tails, and the picture tells wrong pairs better."""
KEPT_PER_END, KEPT_WITHIN_HU = 8, 120.0
"""How many candidates an end keeps for a close look, not much darker than its best at a glance."""
TURN_COST_HU = 2.0
"""What a degree of turn costs in that choice."""
LEAST_SEEN = 0.25
"""Share of its shaft that must be seen, whatever its ends look like; no needle is invented."""
PUBLISHED = "greedy-published"
"""The solver that uses the published score."""
PUBLISHED_SAMPLES = 64

MODEL = {
    "intercept": -6.09,
    "seen": 3.38,
    "astray": -2.0,
    "wander_mm": -2.97,
    "tip_shift_mm": -0.54,
    "handle_shift_mm": -0.25,
    "bow_mm": -0.62,
    "goes_on": -0.91,
    "tip_turn_deg": -0.01,
    "handle_turn_deg": -0.01,
    "tip_heatmap": 2.03,
    "handle_heatmap": 2.91,
    "length_support": 0.88,
}
"""Log-odds a unit of each feature of :func:`pair_features`, fitted on simulated cases with
:func:`needle_backend.ct.training.calibrate.fit_confidence`."""

LENGTH_SPREAD_MM = 1.2
"""Scatter of measured lengths of equal needles."""
LEAST_WITNESS = 0.05
"""Probability from which a pair has a say about lengths; many unsure ones still make a peak."""
LENGTH_DOUBT = 2.0
"""Weight of "any length": this many confident pairs must agree before a length counts much."""


@dataclass(frozen=True)
class Pairs:
    """Feasible pairs of a case, n of them, arrays side by side.

    Attributes
    ----------
    tip, handle
        Indices of the two ends.
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

    def take(self, selection: np.ndarray) -> Pairs:
        """Return the selected pairs (indices or a boolean mask)."""
        taken = {name: values[selection] for name, values in vars(self).items() if name != "shaft"}
        return Pairs(shaft=self.shaft.take(selection), **taken)


def score_pairs(
    tips: Ends,
    handles: Ends,
    tophat: np.ndarray,
    volume: Volume,
    options: LocateOptions,
    device: str = "cpu",
) -> Pairs:
    """Score every tip-handle pair that can be a needle by length, directions and what is seen.

    Parameters
    ----------
    tips, handles
        Fused ends.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.
    options
        ``length_mm`` and ``length_tolerance_mm`` bound the lengths; ``solver`` tells whether the
        published score is needed.
    device
        Where to sample the volume: "cpu", or a torch device.
    """
    tip, handle, length_mm, tip_turn_deg, handle_turn_deg = _feasible(tips, handles, options)
    tips_lps, handles_lps = tips.points_lps[tip], handles.points_lps[handle]
    promise = glance(tips_lps, handles_lps, tophat, volume)
    promise -= TURN_COST_HU * (tip_turn_deg + handle_turn_deg)
    kept = _best_of_each_end(tip, handle, promise)
    published = np.zeros(len(tip))
    if options.solver == PUBLISHED:
        published = _published_score(tips_lps, handles_lps, tophat, volume)
        kept |= _best_of_each_end(tip, handle, published)
    unscored = Pairs(
        tip=tip[kept],
        handle=handle[kept],
        score=np.zeros(kept.sum()),
        published_score=published[kept],
        length_mm=length_mm[kept],
        length_support=np.zeros(kept.sum()),
        tip_turn_deg=tip_turn_deg[kept],
        handle_turn_deg=handle_turn_deg[kept],
        tip_heatmap=tips.score[tip[kept]],
        handle_heatmap=handles.score[handle[kept]],
        shaft=shaft_evidence(tips_lps[kept], handles_lps[kept], tophat, volume, device),
    )
    visible = unscored.take(unscored.shaft.seen >= LEAST_SEEN)
    return with_scores(visible, options)


def pair_features(pairs: Pairs) -> dict[str, np.ndarray]:
    """Return what a pair's log-odds are linear in, by the names in :data:`MODEL`."""
    shaft = pairs.shaft
    return {
        "seen": shaft.seen,
        "astray": shaft.astray,
        "wander_mm": shaft.wander_mm,
        "tip_shift_mm": shaft.tip_shift_mm,
        "handle_shift_mm": shaft.handle_shift_mm,
        "bow_mm": np.abs(shaft.bow_mm),
        "goes_on": shaft.goes_on,
        "tip_turn_deg": pairs.tip_turn_deg,
        "handle_turn_deg": pairs.handle_turn_deg,
        "tip_heatmap": pairs.tip_heatmap,
        "handle_heatmap": pairs.handle_heatmap,
        "length_support": pairs.length_support,
    }


def with_scores(pairs: Pairs, options: LocateOptions, model: Mapping[str, float] = MODEL) -> Pairs:
    """Return the pairs with scores, and the support of their lengths, by a model.

    Lengths are supported by pairs that score well, so this looks twice.
    """
    support = np.zeros(len(pairs))
    for _ in range(2):
        score = log_odds(pair_features(replace(pairs, length_support=support)), model)
        support = _length_support(pairs, score, options)
    pairs = replace(pairs, length_support=support)
    return replace(pairs, score=log_odds(pair_features(pairs), model))


def log_odds(features: Mapping[str, np.ndarray], model: Mapping[str, float]) -> np.ndarray:
    """Return the model's intercept and the sum of its coefficients times the features."""
    return model["intercept"] + sum(model[name] * values for name, values in features.items())


def _feasible(tips: Ends, handles: Ends, options: LocateOptions) -> tuple[np.ndarray, ...]:
    """Return tip, handle, length and the two turns of pairs that can be needles."""
    along = handles.points_lps[None] - tips.points_lps[:, None]
    length = np.linalg.norm(along, axis=-1)
    direction_deg = polar_angle_deg(along)
    tip_turn = np.abs(wrap_deg(direction_deg - tips.angle_deg[:, None]))
    handle_turn = np.abs(wrap_deg(direction_deg + 180 - handles.angle_deg[None]))
    allowed = np.abs(length - options.length_mm) <= options.length_tolerance_mm
    allowed &= (tip_turn <= TURN_DEG) & (handle_turn <= TURN_DEG) & (length > 0)
    tip, handle = np.nonzero(allowed)
    return tip, handle, length[allowed], tip_turn[allowed], handle_turn[allowed]


def _published_score(
    tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """Score lines as the paper does (Xiao et al. 2025, matching), on their nearest voxels."""
    along = handles_lps - tips_lps
    where = np.linspace(0, 1, PUBLISHED_SAMPLES)
    ijk = volume.lps_to_ijk(tips_lps[:, None] + where[None, :, None] * along[:, None])
    column, row, slice_index = np.moveaxis(
        np.clip(np.rint(ijk).astype(int), 0, np.array(tophat.shape[::-1]) - 1), -1, 0
    )
    hu = tophat[slice_index, row, column].astype(float)
    slices_apart = np.abs(along[:, 2]) / volume.spacing_mm[2]
    length_mm = np.linalg.norm(along, axis=1)
    spread = np.maximum(hu.std(axis=1), 1.0)
    return hu.mean(axis=1) / spread - 0.1 * slices_apart - 0.01 * length_mm


def _best_of_each_end(tip: np.ndarray, handle: np.ndarray, promise: np.ndarray) -> np.ndarray:
    """Return which pairs are among the most promising of their tip or handle."""
    kept = np.zeros(len(tip), bool)
    for end in (tip, handle):
        order = np.lexsort((-promise, end))
        first = np.searchsorted(end[order], end[order])
        rank = np.arange(len(order)) - first
        behind = promise[order][first] - promise[order]
        kept[order[(rank < KEPT_PER_END) & (behind <= KEPT_WITHIN_HU)]] = True
    return kept


def _length_support(pairs: Pairs, score: np.ndarray, options: LocateOptions) -> np.ndarray:
    """Return how the case's confident pairs speak for each pair's length, as log-odds.

    A density of lengths is estimated from the pairs that are the best of both their ends, weighted
    by their probability and without those that share an end with the pair in question; "any
    length" carries :data:`LENGTH_DOUBT` pairs' weight. The result is the logarithm of that density
    over the even one. Several lengths make several peaks; few or scattered ones make none.
    """
    if len(pairs) == 0:
        return np.zeros(0)
    probability = 1 / (1 + np.exp(-score))
    best_of_tip, best_of_handle = np.zeros(pairs.tip.max() + 1), np.zeros(pairs.handle.max() + 1)
    np.maximum.at(best_of_tip, pairs.tip, probability)
    np.maximum.at(best_of_handle, pairs.handle, probability)
    witness = (probability >= best_of_tip[pairs.tip]) & (probability > LEAST_WITNESS)
    witness &= probability >= best_of_handle[pairs.handle]
    others = (pairs.tip[:, None] != pairs.tip[witness]) & (
        pairs.handle[:, None] != pairs.handle[witness]
    )
    weight = others * probability[witness]
    off = (pairs.length_mm[:, None] - pairs.length_mm[witness]) / LENGTH_SPREAD_MM
    density = np.exp(-0.5 * off**2) / (LENGTH_SPREAD_MM * np.sqrt(2 * np.pi))
    even = 1 / (2 * options.length_tolerance_mm)
    shared = (LENGTH_DOUBT * even + (weight * density).sum(axis=1)) / (
        LENGTH_DOUBT + weight.sum(axis=1)
    )
    return np.log(shared / even)
