"""Fit the logistic models of matching: pairs' scores, needles' confidence, ends left over.

They stand as named coefficients beside the code that uses them
(``needle_backend.ct.score.FIRST_LOOK``, ``needle_backend.ct.doubts.MODEL``, and those of
:mod:`needle_backend.ct.loose_ends`). What a network detects well and badly changes with its
training, and so do the right coefficients: this fits them again, on cases with known needles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from needle_backend.core.needles import LocateOptions, Needle
from needle_backend.core.volume import Volume
from needle_backend.ct.doubts import assess, needle_features
from needle_backend.ct.ends import HANDLE, TIP, Ends, SliceEnds
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.loose_ends import LooseEnds, loose_handles, loose_tips
from needle_backend.ct.match import match
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import (
    FIRST_LOOK,
    first_look_features,
    score_detected,
    score_pairs,
    with_scores,
)
from needle_backend.ct.training.evaluate import compare_ends

WEIGHT_DECAY = 1e-3
"""Pull of standardised coefficients towards zero, in mean log-likelihood."""
GATE_MM = 5.0
ROUNDS = 3
"""Lengths are supported by well-scored pairs, so fitting and scoring take turns."""
FIRST_LOOK_SIGNS = {
    "seen": 1,
    "astray": -1,
    "wander_mm": -1,
    "tip_shift_mm": -1,
    "handle_shift_mm": -1,
    "bow_mm": -1,
    "goes_on": -1,
    "tip_turn_deg": -1,
    "handle_turn_deg": -1,
    "tip_heatmap": 1,
    "handle_heatmap": 1,
    "length_support": 1,
}
MOVED = ("placed", "moved_mm")
"""Coefficients that are kept: tips are moved by the model that is being fitted."""
CONFIDENCE_SIGNS = {
    "score": 1,
    "margin": 1,
    "placed": 1,
    "hub_rival": -1,
    "neighbour_mm": 1,
    "length_support": 1,
}
LOOSE_TIP_SIGNS = {
    "heatmap": 1,
    "slices": 1,
    "claim": 1,
    "tip_mm": 1,
    "shaft_mm": 1,
    "doubt_nearby": 1,
}
LOOSE_HANDLE_SIGNS = {"heatmap": 1, "score": 1, "handle_mm": 1}


@dataclass(frozen=True)
class CalibrationCase:
    """One case's scored pairs, and its true tips and handles, (n, 3) LPS mm each.

    ``detected`` are the pairs before any tip was moved.
    """

    volume: Volume
    tips: Ends
    handles: Ends
    detected: Pairs
    pairs: Pairs
    true_tips: np.ndarray
    true_handles: np.ndarray


def calibration_case(
    volume: Volume, seen: SliceEnds, truth: Sequence[Needle], options: LocateOptions
) -> CalibrationCase:
    """Fuse and score what a network detected on a volume."""
    tips, handles = (fuse_over_slices(seen, kind, volume) for kind in (TIP, HANDLE))
    tophat = TopHat.of(white_top_hat(volume.array), volume)
    where = (tips, handles, tophat, options)
    true_tips = np.array([needle.tip_lps for needle in truth], float).reshape(-1, 3)
    true_handles = np.array([needle.handle_lps for needle in truth], float).reshape(-1, 3)
    detected, pairs = score_detected(*where), score_pairs(*where)
    return CalibrationCase(volume, tips, handles, detected, pairs, true_tips, true_handles)


def fit_first_look(cases: Sequence[CalibrationCase], options: LocateOptions) -> dict[str, float]:
    """Fit the first look: a pair is right when both ends are a needle's."""
    correct = np.concatenate([_inside_gate(case, case.detected) for case in cases])
    scored = [case.detected for case in cases]
    for _ in range(ROUNDS):
        features = [
            {**first_look_features(pairs), "length_support": pairs.length_support}
            for pairs in scored
        ]
        fitted = {name: values for name, values in _joined(features).items() if name not in MOVED}
        model = fit_confidence(fitted, correct, FIRST_LOOK_SIGNS)
        model |= {name: FIRST_LOOK[name] for name in MOVED}
        scored = [with_scores(p, first_look_features(p), model, options) for p in scored]
    return model


def fit_doubts(cases: Sequence[CalibrationCase]) -> dict[str, float]:
    """Fit the model of confidence: a needle is right when both ends are within the gate of one.

    Cases count twice, with their number of needles given and without.
    """
    features, correct = confidence_examples(cases)
    return fit_confidence(features, correct, CONFIDENCE_SIGNS)


def confidence_examples(
    cases: Sequence[CalibrationCase],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the features of all needles chosen in some cases, and whether they are right."""
    features, correct = [], []
    for case in cases:
        for count in (len(case.true_tips), None):
            if count == 0:
                continue
            matching = match(case.pairs, case.tips, case.handles, count)
            ends = (case.pairs, case.tips, case.handles)
            features.append(needle_features(matching, *ends, case.volume))
            correct.append(_inside_gate(case, case.pairs)[matching.chosen])
    return _joined(features), np.concatenate(correct)


def fit_loose_ends(cases: Sequence[CalibrationCase]) -> tuple[dict[str, float], dict[str, float]]:
    """Fit which tips, and which handles, that no needle uses are a missed needle's.

    To be fitted after the confidence, which decides what is missed; cases count twice likewise.
    """
    tips, handles = zip(*_loose_examples(cases), strict=True)
    return (
        _fit_loose(tips, LOOSE_TIP_SIGNS),
        _fit_loose(handles, LOOSE_HANDLE_SIGNS),
    )


def _loose_examples(
    cases: Sequence[CalibrationCase],
) -> Iterator[tuple[tuple[LooseEnds, np.ndarray], tuple[LooseEnds, np.ndarray]]]:
    """Yield each case's loose tips and which are a missed needle's; its handles likewise."""
    for case in cases:
        ends = (case.pairs, case.tips, case.handles)
        for count in (len(case.true_tips) or None, None):
            assessment = assess(match(*ends, count), *ends, case.volume)
            missed = _missed(case, assessment.chosen)
            tips = loose_tips(assessment, case.pairs, case.tips)
            handles = loose_handles(assessment, case.pairs, case.handles)
            yield (
                (tips, _near(tips.points_lps, case.true_tips[missed])),
                (handles, _near(handles.points_lps, case.true_handles[missed])),
            )


def _missed(case: CalibrationCase, chosen: np.ndarray) -> np.ndarray:
    true_ends = np.stack((case.true_tips, case.true_handles), axis=1)
    pairs = case.pairs.take(chosen)
    found = compare_ends(true_ends, np.stack((pairs.tips_lps, pairs.handles_lps), axis=1), GATE_MM)
    return np.setdiff1d(np.arange(len(true_ends)), found.pairs[:, 0])


def _near(points_lps: np.ndarray, true_lps: np.ndarray) -> np.ndarray:
    apart_mm = np.linalg.norm(points_lps[:, None] - true_lps, axis=-1)
    return (apart_mm <= GATE_MM).any(axis=1)


def _fit_loose(
    examples: Sequence[tuple[LooseEnds, np.ndarray]], signs: Mapping[str, int]
) -> dict[str, float]:
    features = _joined([loose.features for loose, _ in examples])
    return fit_confidence(features, np.concatenate([missed for _, missed in examples]), signs)


def fit_confidence(
    features: Mapping[str, np.ndarray],
    correct: np.ndarray,
    signs: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Fit log-odds of being correct, linear in named features.

    Parameters
    ----------
    features
        Feature values by name, (n,) each.
    correct
        Whether each example is correct, (n,) bool.
    signs
        +1 or -1 for features that may only speak for, or only against; what is known to help never
        turns into its opposite because of the cases at hand.

    Returns
    -------
    dict
        Coefficient by name, with "intercept".

    Raises
    ------
    ValueError
        When all examples are correct, or none is.
    """
    from scipy.optimize import minimize

    correct = np.asarray(correct, bool)
    if correct.all() or not correct.any():
        raise ValueError("needs correct and wrong examples")
    names = list(features)
    values = np.column_stack([np.asarray(features[name], float) for name in names])
    centre, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    standard = np.column_stack(((values - centre) / scale, np.ones(len(values))))
    sign = np.where(correct, 1.0, -1.0)
    limits = {None: (None, None), 1: (0.0, None), -1: (None, 0.0)}
    bounds = [limits[(signs or {}).get(name)] for name in names] + [limits[None]]
    decay = np.append(np.full(len(names), WEIGHT_DECAY), 0.0)

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (standard @ coefficients)
        value = np.logaddexp(0.0, -margin).mean() + 0.5 * decay @ coefficients**2
        pull = -sign * np.exp(-np.logaddexp(0.0, margin))
        return float(value), standard.T @ pull / len(pull) + decay * coefficients

    fitted = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = fitted[:-1] / scale
    intercept = float(fitted[-1] - slopes @ centre)
    return {"intercept": intercept, **dict(zip(names, slopes.tolist(), strict=True))}


def probability(log_odds: np.ndarray) -> np.ndarray:
    """Return the probability, 0..1, of log-odds."""
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -50.0, 50.0)))


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> list[dict]:
    """Return the points of a reliability plot: mean confidence and share correct, bin by bin.

    Empty bins are left out; each point tells how many examples it stands on.
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[bin_of == index].mean()),
            "correct": float(correct[bin_of == index].mean()),
            "needles": int((bin_of == index).sum()),
        }
        for index in range(bins)
        if (bin_of == index).any()
    ]


def _joined(features: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in features]) for name in features[0]}


def _inside_gate(case: CalibrationCase, pairs: Pairs) -> np.ndarray:
    """Return which pairs have both ends within the gate of one needle's."""
    tips = pairs.tips_lps[:, None] - case.true_tips
    handles = pairs.handles_lps[:, None] - case.true_handles
    inside = np.linalg.norm(tips, axis=-1) <= GATE_MM
    inside &= np.linalg.norm(handles, axis=-1) <= GATE_MM
    return inside.any(axis=1)
