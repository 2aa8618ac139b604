"""Fitting log-odds: what goes in comes out, and what is known to help never hurts."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.ct.training.calibrate import fit_confidence, probability, reliability


def drawn(coefficient: float, intercept: float, count: int = 20000) -> tuple[dict, np.ndarray]:
    rng = np.random.default_rng(3)
    value = rng.normal(5, 2, count)
    correct = rng.random(count) < probability(coefficient * value + intercept)
    return {"value": value, "noise": rng.normal(size=count)}, correct


def test_the_coefficients_that_made_the_data_are_found():
    fitted = fit_confidence(*drawn(0.8, -3.0))
    assert fitted["value"] == pytest.approx(0.8, abs=0.05)
    assert fitted["intercept"] == pytest.approx(-3.0, abs=0.25)
    assert fitted["noise"] == pytest.approx(0, abs=0.05)


def test_fitted_probabilities_are_reliable():
    features, correct = drawn(0.8, -3.0)
    fitted = fit_confidence(features, correct)
    log_odds = fitted["intercept"] + sum(fitted[name] * features[name] for name in features)
    for point in reliability(probability(log_odds), correct):
        if point["needles"] > 300:
            assert point["correct"] == pytest.approx(point["confidence"], abs=0.06)


def test_a_feature_that_may_only_help_is_left_out_rather_than_turned_around():
    fitted = fit_confidence(*drawn(-0.8, 3.0), signs={"value": 1})
    assert fitted["value"] == 0


@pytest.mark.parametrize("everything", [True, False])
def test_one_kind_of_example_is_not_enough(everything):
    with pytest.raises(ValueError, match="correct and wrong"):
        fit_confidence({"value": np.arange(5.0)}, np.full(5, everything))


def test_the_reliability_counts_every_needle_once():
    confidence = np.array([0.0, 0.05, 0.5, 0.99, 1.0])
    points = reliability(confidence, np.array([False, False, True, True, True]))
    assert [point["needles"] for point in points] == [2, 1, 2]
    assert points[-1]["correct"] == 1
