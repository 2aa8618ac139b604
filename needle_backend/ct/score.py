"""Score which tip belongs to which handle: every feasible pair of a case at once.

A score is the log-odds that a pair is a needle: what the shaft looks like (:mod:`.shaft`), how well
the pair's direction fits the directions seen at both ends, and whether its length is one that the
case's confident pairs share. Zero means as likely as not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from needle_backend.core.geometry import polar_angle_deg, unit_vectors, wrap_deg
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import Ends
from needle_backend.ct.lengths import length_support, shared_lengths
from needle_backend.ct.shaft import ShaftEvidence, glance, shaft_evidence

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
    "moved": -2.0,
    "moved_mm": -0.05,
}
"""Log-odds a unit of each feature of :func:`pair_features`, fitted on simulated cases with
:func:`needle_backend.ct.training.calibrate.fit_score`; those of moved tips were tried out."""

LEAST_WITNESS = 0.05
"""Probability from which a pair has a say about lengths; many unsure ones still make a peak."""
LEAST_MOVE_MM, LARGEST_MOVE_MM = 3.0, 25.0
"""How far a tip may be moved along its needle to a length that the case shares."""
MOVABLE, SETTLED = -3.0, 1.0
"""It is tried with pairs this likely, lengths aside; not for a handle that has a pair so likely."""


@dataclass(frozen=True)
class Pairs:
    """Feasible pairs of a case, n of them, arrays side by side.

    Attributes
    ----------
    tip, handle
        Indices of the two ends.
    tips_lps, handles_lps
        Where they are, (n, 3) LPS mm.
    moved_mm
        How far the tip was moved along the needle from where it was detected, to a length that the
        case's confident pairs share; mostly 0.
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
    detected = score_detected(tips, handles, tophat, volume, options, device)
    if options.solver == PUBLISHED:
        return detected
    moved = _with_moved_tips(detected, tophat, volume, device)
    return _best_of_each_pair(with_scores(detected.joined(moved), options))


def score_detected(
    tips: Ends,
    handles: Ends,
    tophat: np.ndarray,
    volume: Volume,
    options: LocateOptions,
    device: str = "cpu",
) -> Pairs:
    """Score pairs as :func:`score_pairs` does, with every tip where it was detected."""
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
        shaft=shaft_evidence(tips_lps[kept], handles_lps[kept], tophat, volume, device),
    )
    return with_scores(_visible(unscored), options)


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
        "moved": (pairs.moved_mm > 0).astype(float),
        "moved_mm": pairs.moved_mm,
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
    witness = np.flatnonzero(best & (probability > LEAST_WITNESS) & (pairs.moved_mm == 0))
    return witness, probability[witness]


def _with_moved_tips(pairs: Pairs, tophat: np.ndarray, volume: Volume, device: str) -> Pairs:
    """Return pairs whose shaft is good but whose length no other shares, with their tips moved.

    A tip that fades, or leaves its slice, is detected millimetres up the shaft, or something else
    on the shaft is taken for it. The line is right then, and the length tells where the tip is.
    """
    witness, weight = _witnesses(pairs, pairs.score)
    shared_mm = shared_lengths(pairs.length_mm[witness], weight)
    shift = np.abs(shared_mm - pairs.length_mm[:, None])
    lengths_aside = pairs.score - MODEL["length_support"] * pairs.length_support
    best_of_handle = np.full(pairs.handle.max(initial=-1) + 1, -np.inf)
    np.maximum.at(best_of_handle, pairs.handle, pairs.score)
    movable = (lengths_aside > MOVABLE) & (best_of_handle[pairs.handle] < SETTLED)
    near = (shift > LEAST_MOVE_MM) & (shift <= LARGEST_MOVE_MM)
    index, length = np.nonzero(near & movable[:, None])
    moved = pairs.take(index)
    along = unit_vectors(moved.tips_lps - moved.handles_lps)
    tips_lps = moved.handles_lps + shared_mm[length, None] * along
    moved = replace(
        moved,
        tips_lps=tips_lps,
        moved_mm=shift[index, length],
        length_mm=shared_mm[length],
        shaft=shaft_evidence(tips_lps, moved.handles_lps, tophat, volume, device),
    )
    ijk = volume.lps_to_ijk(tips_lps)
    inside = ((ijk > -0.5) & (ijk < np.array(tophat.shape[::-1]) - 0.5)).all(axis=1)
    return _visible(moved.take(inside))


def _best_of_each_pair(pairs: Pairs) -> Pairs:
    """Keep the best place of the tip for each pair of ends."""
    order = np.lexsort((-pairs.score, pairs.handle, pairs.tip))
    tip, handle = pairs.tip[order], pairs.handle[order]
    first = np.ones(len(order), bool)
    first[1:] = (tip[1:] != tip[:-1]) | (handle[1:] != handle[:-1])
    return pairs.take(order[first])
