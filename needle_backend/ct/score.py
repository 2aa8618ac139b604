"""Score which tip belongs to which handle: every feasible pair of a case at once.

A score is the log-odds that a pair is a needle: what the shaft looks like, how well the pair's
direction fits the directions seen at both ends, and whether its length is one that the case's
confident pairs share. Zero means as likely as not. A first look judges by named features
(:mod:`.shaft`); it tells where tips may have been missed (:mod:`.hypotheses`) and which pairs are
worth the second look, a network's (:mod:`.second_look`), before and after it has put their ends
right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from needle_backend.core.geometry import polar_angle_deg, wrap_deg
from needle_backend.core.needles import LocateOptions
from needle_backend.ct.ends import Ends
from needle_backend.ct.hypotheses import placed_pairs
from needle_backend.ct.lengths import length_support, shared_lengths
from needle_backend.ct.pairs import Pairs, best_of_each
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.shaft import glance, shaft_evidence
from needle_backend.ct.shared_tips import with_second_claims

TURN_DEG = 30.0
"""Largest angle between a pair's direction and the one seen at either end. The paper allows 20, but
a network's directions have long tails, and the picture tells wrong pairs better."""
KEPT_PER_END, KEPT_WITHIN_HU = 8, 80.0
"""How many candidates an end keeps for a close look, not much darker than its best at a glance."""
TURN_COST_HU = 2.0
"""What a degree of turn costs in that choice."""
LEAST_SEEN = 0.25
"""Share of its shaft that must be seen, whatever its ends look like; no needle is invented."""
PUBLISHED = "greedy-published"
"""The solver that uses the published score."""
PUBLISHED_SAMPLES = 64

FIRST_LOOK = {
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
    "placed": -2.0,
    "moved_mm": -0.05,
}
"""Log-odds a unit of each of :func:`first_look_features`, fitted on simulated cases with
:func:`needle_backend.ct.training.calibrate.fit_first_look`; those of placed tips were tried out."""
WORTH_A_SECOND_LOOK, SECOND_LOOKS, BEHIND_THE_BEST = -6.0, 6, 4.0
"""A second look is for pairs above such log-odds of the first, the best few of each handle, not
much worse than its best."""
WORTH_CORRECTING = -3.0
"""Log-odds of the second look below which a pair is dropped."""
SECOND_LOOK = {
    "intercept": -0.5,
    "network": 0.96,
    "length_support": 1.1,
    "tip_detected": 2.4,
    "handle_detected": 1.0,
    "placed": -2.5,
}
"""Log-odds a unit of each of :func:`second_look_features`. Those of detections and placed tips say
what a whole set of needles gains when it explains an end that was surely detected; they were chosen
by the needles found on simulated cases, not by the pairs."""

LEAST_WITNESS = 0.05
"""Probability from which a pair has a say about lengths; many unsure ones still make a peak."""


def score_pairs(
    tips: Ends,
    handles: Ends,
    tophat: TopHat,
    options: LocateOptions,
) -> Pairs:
    """Score every tip-handle pair that can be a needle by length, directions and what is seen.

    Parameters
    ----------
    tips, handles
        Fused ends.
    tophat
        White top-hat of the CT; read, and judged by networks, on its device.
    options
        ``length_mm`` and ``length_tolerance_mm`` bound the lengths; ``solver`` tells whether the
        published score is needed.
    """
    detected = score_detected(tips, handles, tophat, options)
    if options.solver == PUBLISHED:
        return detected
    pairs = candidate_pairs(detected, tips, handles, tophat, options)
    return _with_second_look(pairs, tophat, options)


def candidate_pairs(
    detected: Pairs,
    tips: Ends,
    handles: Ends,
    tophat: TopHat,
    options: LocateOptions,
) -> Pairs:
    """Return the pairs worth a second look: detected ones and those with placed tips."""
    witness, weight = _witnesses(detected, detected.score)
    placed = placed_pairs(
        detected,
        handles,
        detected.score - FIRST_LOOK["length_support"] * detected.length_support,
        shared_lengths(detected.length_mm[witness], weight),
        len(tips),
        tophat,
    )
    pairs = _with_first_look(detected.joined(_visible(placed)), options)
    best = best_of_each(pairs.handle, pairs.score, SECOND_LOOKS, BEHIND_THE_BEST)
    return pairs.take(best & (pairs.score > WORTH_A_SECOND_LOOK))


def score_detected(
    tips: Ends,
    handles: Ends,
    tophat: TopHat,
    options: LocateOptions,
) -> Pairs:
    """Give pairs of detected ends their first look."""
    tip, handle, length_mm, tip_turn_deg, handle_turn_deg = _feasible(tips, handles, options)
    tips_lps, handles_lps = tips.points_lps[tip], handles.points_lps[handle]
    promise = glance(tips_lps, handles_lps, tophat)
    promise -= TURN_COST_HU * (tip_turn_deg + handle_turn_deg)
    kept = _best_of_each_end(tip, handle, promise)
    published = np.zeros(len(tip))
    if options.solver == PUBLISHED:
        published = _published_score(tips_lps, handles_lps, tophat)
        kept |= _best_of_each_end(tip, handle, published)
    unscored = Pairs(
        tip=tip[kept],
        handle=handle[kept],
        seen_as=tip[kept],
        tips_lps=tips_lps[kept],
        handles_lps=handles_lps[kept],
        moved_mm=np.zeros(kept.sum()),
        score=np.zeros(kept.sum()),
        published_score=published[kept],
        length_mm=length_mm[kept],
        length_support=np.zeros(kept.sum()),
        tip_turn_deg=tip_turn_deg[kept],
        handle_turn_deg=handle_turn_deg[kept],
        tip_heatmap=tips.score[tip[kept]],
        handle_heatmap=handles.score[handle[kept]],
        shaft=shaft_evidence(tips_lps[kept], handles_lps[kept], tophat),
    )
    return _with_first_look(_visible(unscored), options)


def first_look_features(pairs: Pairs) -> dict[str, np.ndarray]:
    """Return what the first look is linear in, lengths aside, named as in :data:`FIRST_LOOK`."""
    shaft = pairs.shaft
    return {
        "seen": shaft.seen,
        "astray": shaft.astray,
        "wander_mm": shaft.wander_mm,
        "tip_shift_mm": np.abs(shaft.tip_shift_mm),
        "handle_shift_mm": np.abs(shaft.handle_shift_mm),
        "bow_mm": np.abs(shaft.bow_mm),
        "goes_on": shaft.goes_on,
        "tip_turn_deg": pairs.tip_turn_deg,
        "handle_turn_deg": pairs.handle_turn_deg,
        "tip_heatmap": pairs.tip_heatmap,
        "handle_heatmap": pairs.handle_heatmap,
        "placed": pairs.placed.astype(float),
        "moved_mm": pairs.moved_mm,
    }


def second_look_features(pairs: Pairs, network: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the second look is linear in, lengths aside, named as in :data:`SECOND_LOOK`.

    ``network`` are the log-odds of :class:`needle_backend.ct.second_look.SecondLook`.
    """
    return {
        "network": network,
        "tip_detected": np.where(pairs.placed, 0.0, pairs.tip_heatmap),
        "handle_detected": pairs.handle_heatmap,
        "placed": pairs.placed.astype(float),
    }


def with_scores(
    pairs: Pairs,
    features: Mapping[str, np.ndarray],
    model: Mapping[str, float],
    options: LocateOptions,
) -> Pairs:
    """Return the pairs with scores, and the support of their lengths, by a model.

    Lengths are supported by pairs that score well, so this looks twice.
    """
    lengths_aside = model["intercept"] + sum(model[name] * v for name, v in features.items())
    support = np.zeros(len(pairs))
    for _ in range(2):
        score = lengths_aside + model["length_support"] * support
        support = _length_support(pairs, score, options)
    score = lengths_aside + model["length_support"] * support
    return replace(pairs, length_support=support, score=score)


def _with_first_look(pairs: Pairs, options: LocateOptions) -> Pairs:
    return with_scores(pairs, first_look_features(pairs), FIRST_LOOK, options)


def _with_second_look(pairs: Pairs, tophat: TopHat, options: LocateOptions) -> Pairs:
    """Let a network judge the pairs, put the ends of likely ones right, and judge those again."""
    if len(pairs) == 0:
        return pairs
    from needle_backend.ct.pair_network import load_pair_network
    from needle_backend.ct.second_look import look_at, with_corrected_ends

    network = load_pair_network(options.pair_weights, tophat.device)
    look = look_at(pairs, tophat, network)
    judged = _judged(pairs, look.log_odds, options)
    likely = judged.score > WORTH_CORRECTING
    if not likely.any():
        return judged.take(likely)
    corrected = with_corrected_ends(judged.take(likely), look.offsets_mm[likely])
    again = look_at(corrected, tophat, network)
    corrected = with_corrected_ends(corrected, again.offsets_mm)
    judged = _judged(corrected, 0.5 * (look.log_odds[likely] + again.log_odds), options)
    return with_second_claims(judged, cost=-SECOND_LOOK["placed"])


def _judged(pairs: Pairs, network: np.ndarray, options: LocateOptions) -> Pairs:
    return with_scores(pairs, second_look_features(pairs, network), SECOND_LOOK, options)


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


def _published_score(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> np.ndarray:
    """Score lines as the paper does (Xiao et al. 2025, matching), on their nearest voxels."""
    along = handles_lps - tips_lps
    where = np.linspace(0, 1, PUBLISHED_SAMPLES)
    ijk = tophat.volume.lps_to_ijk(tips_lps[:, None] + where[None, :, None] * along[:, None])
    column, row, slice_index = np.moveaxis(
        np.clip(np.rint(ijk).astype(int), 0, np.array(tophat.array.shape[::-1]) - 1), -1, 0
    )
    hu = tophat.array[slice_index, row, column].astype(float)
    slices_apart = np.abs(along[:, 2]) / tophat.volume.spacing_mm[2]
    length_mm = np.linalg.norm(along, axis=1)
    spread = np.maximum(hu.std(axis=1), 1.0)
    return hu.mean(axis=1) / spread - 0.1 * slices_apart - 0.01 * length_mm


def _best_of_each_end(tip: np.ndarray, handle: np.ndarray, promise: np.ndarray) -> np.ndarray:
    """Return which pairs are among the most promising of their tip or handle."""
    kept = (best_of_each(end, promise, KEPT_PER_END, KEPT_WITHIN_HU) for end in (tip, handle))
    return np.logical_or(*kept)


def _visible(pairs: Pairs) -> Pairs:
    return pairs.take(pairs.shaft.seen >= LEAST_SEEN)


def _length_support(pairs: Pairs, score: np.ndarray, options: LocateOptions) -> np.ndarray:
    """Return how the case's other pairs speak for each pair's length; none speaks for itself."""
    witness, weight = _witnesses(pairs, score)
    others = (pairs.tip[:, None] != pairs.tip[witness]) & (
        pairs.handle[:, None] != pairs.handle[witness]
    )
    range_mm = 2 * options.length_tolerance_mm
    return length_support(pairs.length_mm, pairs.length_mm[witness], others * weight, range_mm)


def _witnesses(pairs: Pairs, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs that are the best of both their ends, and their probabilities."""
    probability = 1 / (1 + np.exp(-score))
    best_of_tip = np.zeros(pairs.tip.max(initial=-1) + 1)
    best_of_handle = np.zeros(pairs.handle.max(initial=-1) + 1)
    np.maximum.at(best_of_tip, pairs.tip, probability)
    np.maximum.at(best_of_handle, pairs.handle, probability)
    best = probability >= np.maximum(best_of_tip[pairs.tip], best_of_handle[pairs.handle])
    witness = np.flatnonzero(best & (probability > LEAST_WITNESS) & ~pairs.placed)
    return witness, probability[witness]
