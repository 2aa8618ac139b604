"""Fit the two logistic models of matching: a pair's score, and a needle's confidence.

Both stand as named coefficients beside the code that uses them (``needle_backend.ct.score.MODEL``
and ``needle_backend.ct.doubts.MODEL``); this fits them again, on other detections or cases.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

WEIGHT_DECAY = 1e-3
"""Pull of standardised coefficients towards zero, in mean log-likelihood."""


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
