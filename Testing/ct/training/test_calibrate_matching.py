"""Coefficients of matching can be fitted again on any cases with known needles."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.bench.synthetic import Settings, make_case
from needle_backend.core.needles import LocateOptions
from needle_backend.ct.doubts import MODEL as CONFIDENCE_MODEL
from needle_backend.ct.loose_ends import HANDLE_MODEL, TIP_MODEL
from needle_backend.ct.score import FIRST_LOOK
from needle_backend.ct.training.calibrate import (
    CONFIDENCE_SIGNS,
    FIRST_LOOK_SIGNS,
    LOOSE_HANDLE_SIGNS,
    LOOSE_TIP_SIGNS,
    MOVED,
    CalibrationCase,
    calibration_case,
    confidence_examples,
    fit_doubts,
    fit_first_look,
    fit_loose_ends,
)

OPTIONS = LocateOptions()


@pytest.fixture(scope="module")
def cases() -> list[CalibrationCase]:
    made = [make_case(seed, Settings(needles=(15, 25), missed=0.2, false=0.5)) for seed in range(5)]
    return [calibration_case(c.volume, c.detections, c.needles, OPTIONS) for c in made]


def test_the_fitted_score_has_the_coefficients_the_product_uses(cases):
    model = fit_first_look(cases, OPTIONS)
    assert set(model) == set(FIRST_LOOK)
    for name, sign in FIRST_LOOK_SIGNS.items():
        assert sign * model[name] >= 0


def test_the_fitted_confidence_has_the_coefficients_the_product_uses(cases):
    model = fit_doubts(cases)
    assert set(model) == set(CONFIDENCE_MODEL)
    for name, sign in CONFIDENCE_SIGNS.items():
        assert sign * model[name] >= 0


def test_the_fitted_loose_ends_have_the_coefficients_the_product_uses(cases):
    tip, handle = fit_loose_ends(cases)
    for model, shipped, signs in (
        (tip, TIP_MODEL, LOOSE_TIP_SIGNS),
        (handle, HANDLE_MODEL, LOOSE_HANDLE_SIGNS),
    ):
        assert set(model) == set(shipped)
        for name, sign in signs.items():
            assert sign * model[name] >= 0 and sign * shipped[name] > 0


def test_most_chosen_needles_are_right_and_all_are_judged(cases):
    features, correct = confidence_examples(cases)
    assert 0.7 < correct.mean() < 1
    assert {len(values) for values in features.values()} == {len(correct)}


def test_the_shipped_coefficients_have_the_signs_that_make_sense():
    score_signs = FIRST_LOOK_SIGNS | dict.fromkeys(MOVED, -1)
    for model, signs in ((FIRST_LOOK, score_signs), (CONFIDENCE_MODEL, CONFIDENCE_SIGNS)):
        assert set(model) == {"intercept", *signs}
        assert all(sign * model[name] >= 0 for name, sign in signs.items())
        assert np.isfinite(list(model.values())).all()
