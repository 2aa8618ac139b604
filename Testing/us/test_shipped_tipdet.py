"""The weights of TipDet that ship: what they are, and that they find a needle that moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from safetensors import safe_open

from needle_backend.core.weights import DEFAULT_TIPDET_WEIGHTS, WEIGHTS_FOLDER, find_weights
from needle_backend.us.tipdet import VideoTipDetector
from needle_backend.us.tips import AS_TIPDET

pytestmark = pytest.mark.skipif(
    not (WEIGHTS_FOLDER / f"{DEFAULT_TIPDET_WEIGHTS}.safetensors").exists(),
    reason="no trained TipDet weights in Resources",
)

TIP = np.array([330.0, 230.0])
STEP = np.array([3.2, 2.6])
"""A frame's way of the tip."""


@pytest.fixture(scope="module")
def weights():
    return find_weights(None, DEFAULT_TIPDET_WEIGHTS)


def test_they_are_small_and_half_precision(weights):
    assert weights.path.stat().st_size <= 2_000_000
    with safe_open(weights.path, "pt") as tensors:
        types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert types == {"F16", "I64"}


def test_their_card_tells_of_what_they_were_made(weights):
    training = weights.card["training"]
    assert all(source["licence"] for source in training["data"])
    assert "Not a medical device" in weights.card["statement"]
    assert all("command" in figures for figures in weights.card["figures"].values())


def needle_pushed_through_speckle(frames: int) -> list[np.ndarray]:
    """A plain needle that comes to its place in the last frame; the speckle stays but for noise."""
    rng = np.random.default_rng(4)
    waves = rng.normal(size=(2, 480, 640)).astype(np.float32)
    speckle = 120 * np.hypot(*(cv2.GaussianBlur(wave, (0, 0), 2.4, sigmaY=1.3) for wave in waves))
    drawn = []
    for number in range(frames):
        needle = np.zeros((480, 640), np.float32)
        tip = TIP - (frames - 1 - number) * STEP
        cv2.line(needle, (60, 10), tuple(np.rint(tip).astype(int)), 230.0, 4, cv2.LINE_AA)
        noisy = speckle + rng.normal(0, 3, speckle.shape) + cv2.GaussianBlur(needle, (0, 0), 1.5)
        drawn.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return drawn


def test_a_needle_that_is_pushed_is_found(weights):
    detector = VideoTipDetector(device="cpu")
    answers = [
        detector.detect(frame, number / 30)
        for number, frame in enumerate(needle_pushed_through_speckle(16))
    ]
    assert detector.answers_as == AS_TIPDET, "the needle was seen to move"
    tip = answers[-1]
    assert tip is not None
    assert np.hypot(tip.x - TIP[0], tip.y - TIP[1]) < 15
