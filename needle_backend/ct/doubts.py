"""How far to trust each needle: a calibrated confidence, and reasons for doubt in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import segment_distances
from needle_backend.core.needles import Needle, as_point
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import Ends
from needle_backend.ct.match import CONSIDERED, Matching
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.score import PUBLISHED, log_odds

LISTED_FROM = 0.5
"""A needle more likely wrong than right is not listed: its ends may be a missed one's, and only
free ends can be seen as such (:mod:`.loose_ends`)."""
FLAGGED_BELOW = 0.955
"""Needles less sure than this state their doubts; a surer one is not worth a second look. On hard
simulated cases these are one right needle in seven, and four wrong ones in five."""
FAINT_SEEN = 0.6
ASTRAY = 0.25
GOES_ON = 0.6
BOWED_MM = 2.5
LENGTH_OFF_MM = 4.0
NEAR_MM = 3.0
EDGE_MM = 8.0
TIE_LOG_ODDS = 1.5
LOW_HEATMAP = 0.35
SHARED_TIP_MM = 3.0
ELSEWHERE_MM = 5.0
"""Tips farther apart than this are two answers to where a needle ends."""

MODEL = {
    "intercept": -1.639,
    "score": 0.731,
    "margin": 0.286,
    "placed": 1.23,
    "hub_rival": -0.204,
    "neighbour_mm": 0.21,
    "length_support": 1.003,
}
"""Log-odds a unit of each feature of :func:`needle_features`, fitted on simulated cases with
:func:`needle_backend.ct.training.calibrate.fit_confidence`."""

_NO_PAIR = -15.0
_FAR = 50.0


@dataclass(frozen=True)
class Assessment:
    """Needles that tell how sure they are.

    Attributes
    ----------
    needles
        The listed ones, not numbered yet.
    surplus
        What is left beyond the count given.
    chosen
        Which pairs the listed ones are, in their order.
    """

    needles: tuple[Needle, ...]
    surplus: tuple[Needle, ...]
    chosen: np.ndarray

    @property
    def doubt(self) -> np.ndarray:
        """The probability that each listed needle is wrong."""
        return np.array([1.0 - needle.confidence for needle in self.needles])


@dataclass(frozen=True)
class _Facts:
    """What is known about each of n needles in question; (n,) each."""

    pair: np.ndarray
    margin: np.ndarray
    hub_rival: np.ndarray
    hub_rival_mm: np.ndarray
    length_off_mm: np.ndarray
    neighbour_mm: np.ndarray
    tip_edge_mm: np.ndarray
    handle_edge_mm: np.ndarray


def assess(
    matching: Matching, pairs: Pairs, tips: Ends, handles: Ends, volume: Volume
) -> Assessment:
    """Turn chosen and surplus pairs into needles that tell how sure they are, and why not surer.

    Those more likely wrong than right are left out, and surplus ones take their places; what the
    published solver chose stands, as the reference that it is.
    """
    judged = np.concatenate((matching.chosen, matching.surplus))
    facts = _facts(judged, matching, pairs, tips, handles, volume)
    confidence = 1 / (1 + np.exp(-log_odds(_features(facts, pairs), MODEL)))
    least = 0.0 if matching.solver == PUBLISHED else LISTED_FROM
    likely = np.flatnonzero(confidence >= least)
    needles = tuple(
        _needle(facts, place, float(confidence[place]), pairs, tips) for place in likely
    )
    limit = len(matching.chosen)
    return Assessment(needles[:limit], needles[limit:], judged[likely[:limit]])


def needle_features(
    matching: Matching, pairs: Pairs, tips: Ends, handles: Ends, volume: Volume
) -> dict[str, np.ndarray]:
    """Return what the chosen needles' confidence is linear in, by the names in :data:`MODEL`."""
    facts = _facts(matching.chosen, matching, pairs, tips, handles, volume)
    return _features(facts, pairs)


def _features(facts: _Facts, pairs: Pairs) -> dict[str, np.ndarray]:
    return {
        "score": np.clip(pairs.score[facts.pair], -6.0, 6.0),
        "margin": np.clip(facts.margin, -2.0, 6.0),
        "placed": pairs.placed[facts.pair].astype(float),
        "hub_rival": np.clip(facts.hub_rival, -3.0, 6.0),
        "neighbour_mm": np.minimum(facts.neighbour_mm, 5.0),
        "length_support": np.clip(pairs.length_support[facts.pair], -5.0, 0.0),
    }


def _facts(
    judged: np.ndarray,
    matching: Matching,
    pairs: Pairs,
    tips: Ends,
    handles: Ends,
    volume: Volume,
) -> _Facts:
    tips_lps = pairs.tips_lps[judged]
    handles_lps = pairs.handles_lps[judged]
    hub_rival, hub_rival_mm = _hub_rivals(judged, pairs)
    return _Facts(
        pair=judged,
        margin=_margins(judged, matching, pairs, len(tips), len(handles)),
        hub_rival=hub_rival,
        hub_rival_mm=hub_rival_mm,
        length_off_mm=_length_off(judged, matching.chosen, pairs),
        neighbour_mm=_neighbour_distances(tips_lps, handles_lps),
        tip_edge_mm=_edge_distances(tips_lps, volume),
        handle_edge_mm=_edge_distances(handles_lps, volume),
    )


def _margins(
    judged: np.ndarray, matching: Matching, pairs: Pairs, tip_count: int, handle_count: int
) -> np.ndarray:
    """Return how much score the best alternative to each needle would cost.

    The alternatives: to swap handles with a chosen needle, to take an end that nothing else uses,
    or to leave the needle out.
    """
    table = np.full((max(tip_count, pairs.tip.max(initial=-1) + 1), handle_count), _NO_PAIR)
    table[pairs.tip, pairs.handle] = pairs.score
    tip, handle, score = pairs.tip[judged], pairs.handle[judged], pairs.score[judged]
    chosen = matching.chosen
    swapped = table[tip[:, None], pairs.handle[chosen]] + table[pairs.tip[chosen], handle[:, None]]
    costs = score[:, None] + pairs.score[chosen] - swapped
    costs[judged[:, None] == chosen] = -_NO_PAIR
    free_handle = score[:, None] - table[tip][:, matching.unmatched_handles]
    free_tip = score[:, None] - table[matching.unmatched_tips][:, handle].T
    left_out = score[:, None] - CONSIDERED
    return np.concatenate((costs, free_handle, free_tip, left_out), axis=1).min(axis=1)


def _hub_rivals(judged: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the best score of a pair from each needle's hub to a tip elsewhere, and how far."""
    if len(pairs) == 0:
        return np.zeros(0), np.zeros(0)
    apart_mm = np.linalg.norm(pairs.tips_lps[judged][:, None] - pairs.tips_lps, axis=-1)
    rivals = (pairs.handle[judged][:, None] == pairs.handle) & (apart_mm > ELSEWHERE_MM)
    scores = np.where(rivals, pairs.score, _NO_PAIR)
    best = scores.argmax(axis=1)[:, None]
    return (
        np.take_along_axis(scores, best, axis=1)[:, 0],
        np.take_along_axis(apart_mm, best, axis=1)[:, 0],
    )


def _length_off(judged: np.ndarray, chosen: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return how far each length is from the nearest that two other chosen needles share.

    0 where no two others share one.
    """
    off = np.zeros(len(judged))
    for place, pair in enumerate(judged):
        others = np.sort(pairs.length_mm[chosen[chosen != pair]])
        shared = np.abs(np.diff(others)) < LENGTH_OFF_MM / 2
        if shared.any():
            nearby = np.concatenate((others[:-1][shared], others[1:][shared]))
            off[place] = np.abs(nearby - pairs.length_mm[pair]).min()
    return off


def _neighbour_distances(tips_lps: np.ndarray, handles_lps: np.ndarray) -> np.ndarray:
    """Return each needle's distance to the nearest other one's axis, mm."""
    distances = segment_distances(
        tips_lps[:, None], handles_lps[:, None], tips_lps[None], handles_lps[None]
    )
    np.fill_diagonal(distances, _FAR)
    return distances.min(axis=1, initial=_FAR)


def _edge_distances(points_lps: np.ndarray, volume: Volume) -> np.ndarray:
    """Return each point's distance to the nearest face of the volume, mm."""
    ijk = volume.lps_to_ijk(points_lps)
    last = np.array(volume.array.shape[::-1]) - 0.5
    return (np.minimum(ijk + 0.5, last - ijk) * volume.spacing_mm).min(axis=1)


def _needle(facts: _Facts, place: int, confidence: float, pairs: Pairs, tips: Ends) -> Needle:
    pair = facts.pair[place]
    doubtful = confidence < FLAGGED_BELOW
    return Needle(
        tip_lps=as_point(pairs.tips_lps[pair]),
        handle_lps=as_point(pairs.handles_lps[pair]),
        score=float(pairs.score[pair]),
        confidence=confidence,
        doubts=_reasons(facts, place, pairs, tips) if doubtful else (),
    )


def _how_it_was_placed(pairs: Pairs, pair: int) -> tuple[str, ...]:
    """Say that a tip is not where it was seen."""
    if not pairs.placed[pair]:
        return ()
    if pairs.seen_as[pair] == UNSEEN:
        return ("tip not detected: placed on the shaft, at the others' length",)
    moved_mm = pairs.moved_mm[pair]
    if moved_mm < SHARED_TIP_MM:
        return ("tip not told from a neighbour's: placed on the shaft beside it",)
    return (f"tip moved {moved_mm:.0f} mm along the shaft, to the others' length",)


def _reasons(facts: _Facts, place: int, pairs: Pairs, tips: Ends) -> tuple[str, ...]:
    """Say in words what speaks against a needle, the gravest first."""
    pair = facts.pair[place]
    shaft = pairs.shaft
    candidates = (
        (facts.margin[place] < TIE_LOG_ODDS, "tie with another pairing of the same ends"),
        (
            pairs.score[pair] - facts.hub_rival[place] < TIE_LOG_ODDS,
            f"another tip, {facts.hub_rival_mm[place]:.0f} mm away, fits this hub nearly as well",
        ),
        (
            shaft.seen[pair] < FAINT_SEEN,
            f"faint shaft: {shaft.seen[pair]:.0%} of it can be seen",
        ),
        (shaft.goes_on[pair] > GOES_ON, "the shaft seems to go on beyond the tip"),
        (shaft.astray[pair] > ASTRAY, "something brighter lies beside the shaft"),
        (
            facts.length_off_mm[place] > LENGTH_OFF_MM,
            f"length off by {facts.length_off_mm[place]:.0f} mm from the others",
        ),
        (abs(shaft.bow_mm[pair]) > BOWED_MM, f"bowed by {abs(shaft.bow_mm[pair]):.0f} mm"),
        (
            facts.neighbour_mm[place] < NEAR_MM,
            f"another needle within {max(facts.neighbour_mm[place], 1.0):.0f} mm",
        ),
        (facts.tip_edge_mm[place] < EDGE_MM, "tip near the edge of the volume"),
        (facts.handle_edge_mm[place] < EDGE_MM, "handle near the edge of the volume"),
        (pairs.tip_heatmap[pair] < LOW_HEATMAP, "tip barely detected"),
        (pairs.handle_heatmap[pair] < LOW_HEATMAP, "handle barely detected"),
        (
            not pairs.placed[pair] and tips.slice_count[pairs.tip[pair]] == 1,
            "tip seen on one slice only",
        ),
    )
    told = tuple(words for applies, words in candidates if applies)
    reasons = _how_it_was_placed(pairs, pair) + told
    return reasons or ("the picture fits this needle poorly",)
