"""The weights that ship: what they are, and that they find a tip that anybody would see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from safetensors import safe_open

from needle_backend.core.weights import DEFAULT_US_WEIGHTS, WEIGHTS_FOLDER, find_weights
from needle_backend.us.detect import TipDetector

pytestmark = pytest.mark.skipif(
    not (WEIGHTS_FOLDER / f"{DEFAULT_US_WEIGHTS}.safetensors").exists(),
    reason="no trained ultrasound weights in Resources",
)


@pytest.fixture(scope="module")
def weights():
    return find_weights(None, DEFAULT_US_WEIGHTS)


@pytest.fixture(scope="module")
def detector() -> TipDetector:
    return TipDetector(device="cpu")


def test_they_are_small_and_half_precision(weights):
    assert weights.path.stat().st_size <= 1_000_000
    with safe_open(weights.path, "pt") as tensors:
        types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert types == {"F16", "I64"}


def test_their_card_tells_of_what_they_were_made(weights):
    training = weights.card["training"]
    assert all(source["licence"] for source in training["data"])
    assert {"stages", "seeds", "hours", "hardware", "software"} <= training.keys()
    assert "Not a medical device" in weights.card["statement"]
    assert all("command" in figures for figures in weights.card["figures"].values())


def needle_on_speckle(mirrored: bool) -> tuple[np.ndarray, tuple[float, float]]:
    """A plain needle, bright and straight, that ends in the middle of soft speckle."""
    rng = np.random.default_rng(4)
    waves = rng.normal(size=(2, 480, 640)).astype(np.float32)
    speckle = 120 * np.hypot(*(cv2.GaussianBlur(wave, (0, 0), 2.4, sigmaY=1.3) for wave in waves))
    needle = np.zeros((480, 640), np.float32)
    cv2.line(needle, (60, 10), (330, 230), 230.0, 4, cv2.LINE_AA)
    image = np.clip(speckle + cv2.GaussianBlur(needle, (0, 0), 1.5), 0, 255).astype(np.uint8)
    if mirrored:
        return np.ascontiguousarray(image[:, ::-1]), (309.0, 230.0)
    return image, (330.0, 230.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_tip_that_anybody_would_see_is_found(detector, mirrored):
    image, (x, y) = needle_on_speckle(mirrored)
    tip = detector.detect(image)
    assert tip is not None
    assert np.hypot(tip.x - x, tip.y - y) < 20


def test_nothing_is_found_where_there_is_nothing(detector):
    assert detector.detect(np.zeros((480, 640), np.uint8)) is None
    assert detector.detect(np.full((480, 640), 90, np.uint8)) is None
