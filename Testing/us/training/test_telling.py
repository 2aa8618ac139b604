"""Whether generated patches can be told from real ones, and whether they are copies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from us.training.tip_sets import speckle, write_sequences

from needle_backend.core.errors import InputError
from needle_backend.us.training.patches import TipPatches
from needle_backend.us.training.telling import (
    TellingSettings,
    area_under_curve,
    distances,
    evaluate_tips,
    telling_auc,
)

QUICK = TellingSettings(folds=3, epochs=4, batch=16)


def drawn(count, seed):
    rng = np.random.default_rng(seed)
    return np.stack([speckle(rng, 64, 64) for _ in range(count)])


def real(count=120, seed=1):
    return TipPatches(drawn(count, seed), tuple(f"sequence {i % 12}" for i in range(count)))


def test_patches_of_one_kind_cannot_be_told_apart():
    assert telling_auc(drawn(120, 2), real(), QUICK, seed=1) == pytest.approx(0.5, abs=0.13)


def test_blurred_patches_are_told_from_sharp_ones():
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 2.5) for image in drawn(120, 2)])
    assert telling_auc(blurred, real(), QUICK, seed=1) > 0.9


def test_the_same_seed_tells_the_same():
    quick = TellingSettings(folds=2, epochs=1)
    values = [telling_auc(drawn(20, 2), real(24), quick, seed=4) for _ in range(2)]
    assert values[0] == values[1]


def test_the_area_under_the_curve_counts_ties_half():
    truth = np.array([False, False, True, True])
    assert area_under_curve(np.array([1.0, 2.0, 3.0, 4.0]), truth) == 1.0
    assert area_under_curve(np.array([4.0, 3.0, 2.0, 1.0]), truth) == 0.0
    assert area_under_curve(np.ones(4), truth) == 0.5
    assert area_under_curve(np.array([1.0, 3.0, 2.0, 4.0]), truth) == 0.75


def test_copies_lie_nearer_to_training_patches_than_held_out_ones():
    training, held = drawn(60, 3), drawn(60, 4)
    copies = np.clip(training.astype(int) + 3, 0, 255).astype(np.uint8)
    copied = distances(copies, held, training)
    assert copied["generated"]["median"] == pytest.approx(3.0, abs=0.1)
    assert copied["share_nearer_than_held_out_1_percent"] == 1.0
    fresh = distances(drawn(60, 5), held, training)
    assert fresh["generated"]["median"] == pytest.approx(fresh["held_out"]["median"], rel=0.05)
    assert fresh["share_nearer_than_held_out_1_percent"] < 0.2


def test_too_few_held_out_sequences_are_refused(tmp_path):
    data = write_sequences(tmp_path / "data", sequences=4, frames=4)
    (tmp_path / "made").mkdir()
    for number, image in enumerate(drawn(6, 1)):
        cv2.imwrite(str(tmp_path / "made" / f"tip_{number}.png"), image)
    with pytest.raises(InputError, match="1 held-out sequences are too few"):
        evaluate_tips(tmp_path / "made", [data], 0.25, 1, [1])
