"""The tip in a frame, from planted answers; and the shipped detector on simulated needles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from us.planted import Planted, write_untrained_weights

from needle_backend.core.errors import InputError
from needle_backend.us.detect import TipDetector, best_boxes_on
from needle_backend.us.tips import Tip


@pytest.fixture
def detector_that_sees(tmp_path):
    """Return a maker of detectors, 64 px wide, whose network answers as planted."""

    def make(*planted: tuple[float, ...], threshold: float | None = None) -> TipDetector:
        detector = TipDetector(str(write_untrained_weights(tmp_path)), "cpu", threshold)
        network = Planted(*planted).eval()
        detector._network, detector._best_boxes = network, best_boxes_on(network, 64)
        return detector

    return make


FRAME = np.zeros((64, 128), np.uint8)
"""Goes into the square at half its size."""


def test_the_best_box_is_the_tip_in_source_pixels(detector_that_sees):
    detector = detector_that_sees((3, 2, 0.5, 0.5, 1.0, 0.0, 0.6), (6, 3, 0.5, 0.5, 0.0, 0.0, 0.9))
    tip = detector.detect(FRAME)
    # Square pixel (52, 28) has its centre at twice that and half a pixel.
    assert (tip.x, tip.y) == pytest.approx((104.5, 56.5))
    assert (tip.width, tip.height) == pytest.approx((16, 16))
    assert tip.confidence == pytest.approx(0.9, abs=1e-4)
    assert all(type(value) is float for value in vars(tip).values())


def test_below_the_threshold_there_is_no_tip(detector_that_sees):
    planted = (3, 2, 0.5, 0.5, 0.0, 0.0, 0.6)
    assert detector_that_sees(planted, threshold=0.7).detect(FRAME) is None
    assert detector_that_sees(planted, threshold=0.5).detect(FRAME) is not None
    assert detector_that_sees(planted).threshold == 0.3, "as the card says"


def test_candidates_are_of_different_places_the_surest_first(detector_that_sees):
    detector = detector_that_sees(
        (3, 2, 0.5, 0.5, 1.0, 1.0, 0.8),
        (4, 2, -0.4, 0.5, 1.0, 1.0, 0.7),
        (6, 3, 0.5, 0.5, 0.0, 0.0, 0.2),
    )
    confidence = [tip.confidence for tip in detector.candidates(FRAME, most=2)]
    assert confidence == pytest.approx([0.8, 0.2], abs=1e-4)


def test_a_frame_may_be_read_only_and_turned(detector_that_sees):
    frame = np.zeros((128, 64), np.uint8).T
    frame.flags.writeable = False
    assert isinstance(detector_that_sees((3, 2, 0.5, 0.5, 0.0, 0.0, 0.6)).detect(frame), Tip)


def test_colour_is_refused(detector_that_sees):
    with pytest.raises(InputError, match="grey image of 8 bits"):
        detector_that_sees().detect(np.zeros((64, 64, 3), np.uint8))


def test_the_detector_tells_what_it_uses(tmp_path):
    detector = TipDetector(str(write_untrained_weights(tmp_path, input_px=96)), "cpu")
    assert (detector.input_px, detector.device) == (96, "cpu")
    assert detector.weights_name == "us_untrained"
    assert not detector.bf16, "the card does not allow it"


def test_the_same_frame_gets_the_same_answer(tmp_path):
    detector = TipDetector(str(write_untrained_weights(tmp_path)), "cpu", threshold=0.0)
    frame = np.random.default_rng(0).integers(0, 255, (90, 120), dtype=np.uint8)
    assert detector.detect(frame) == detector.detect(frame)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU at hand")
def test_a_gpu_answers_as_the_cpu(tmp_path):
    weights = str(write_untrained_weights(tmp_path))
    frame = np.random.default_rng(0).integers(0, 255, (90, 120), dtype=np.uint8)
    here, there = (
        TipDetector(weights, device, threshold=0.0, bf16=False).candidates(frame)
        for device in ("cpu", "cuda")
    )
    assert there[0].x == pytest.approx(here[0].x, abs=0.5)
    assert there[0].confidence == pytest.approx(here[0].confidence, abs=0.01)
