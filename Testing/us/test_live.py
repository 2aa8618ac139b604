"""Frame after frame: the detector is kept, and a GPU that fails is given up for the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from needle_backend.core.errors import InputError
from needle_backend.us import live
from needle_backend.us.live import LiveDetector
from needle_backend.us.tips import Tip, TrackOptions

FRAME = np.zeros((64, 64), np.uint8)
TIP = Tip(10.0, 20.0, 36.0, 20.0, 0.8)


class FailingOnGpus:
    """A detector that finds a tip on the CPU and breaks on a GPU."""

    made: list[str] = []
    resets = 0

    def __init__(self, weights, device, threshold):
        FailingOnGpus.made.append(device)
        self.device = "cuda:0" if device in ("auto", "cuda") else device
        self.warnings = ()

    def reset(self):
        FailingOnGpus.resets += 1

    def detect(self, frame, time_s):
        if self.device != "cpu":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return TIP


@pytest.fixture
def detectors(monkeypatch) -> list[str]:
    monkeypatch.setattr(live, "TipDetector", FailingOnGpus)
    monkeypatch.setattr(FailingOnGpus, "made", [])
    monkeypatch.setattr(FailingOnGpus, "resets", 0)
    return FailingOnGpus.made


def test_a_gpu_that_fails_is_given_up_for_the_cpu_and_the_reason_is_told(detectors):
    detector = LiveDetector()
    assert detector.detect(FRAME, 0.0, TrackOptions()) == TIP
    assert detector.warnings == (
        "cuda:0 cannot be used (CUDA out of memory. Tried to allocate 2 GiB.), so the CPU "
        "computes instead.",
    )
    assert detector.detect(FRAME, 0.03, TrackOptions()) == TIP
    assert detectors == ["auto", "cpu"], "it is not tried again on every frame"


def test_the_detector_is_kept_until_other_options_are_asked_for(detectors):
    detector = LiveDetector()
    for threshold in (0.1, 0.1, 0.2):
        detector.detect(FRAME, 0.0, TrackOptions(device="cpu", threshold=threshold))
    assert detectors == ["cpu", "cpu"]


def test_a_stream_begins_anew_where_the_time_goes_back_and_after_a_gap(detectors):
    detector = LiveDetector()
    for time_s, resets in ((0.1, 0), (0.2, 0), (0.2, 0), (0.1, 1), (5.0, 2), (5.1, 2)):
        detector.detect(FRAME, time_s, TrackOptions(device="cpu"))
        assert FailingOnGpus.resets == resets, time_s


def test_a_model_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="no model 'oracle'"):
        LiveDetector().detect(FRAME, 0.0, TrackOptions(model="oracle"))
