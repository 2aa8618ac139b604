"""The real work in the real process: the same needles as in this process, and plain refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from us.planted import write_untrained_weights

from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.localize import InProcessLocalizer
from needle_backend.service.client import BackendClient
from needle_backend.service.work import NeedleWork
from needle_backend.us.detect import TipDetector
from needle_backend.us.tips import FrameAnswer, TrackOptions

SAMPLE = Path(__file__).parents[2] / "Resources" / "Sample" / "sample_ct.nii.gz"
OPTIONS = LocateOptions(device="cpu")


@pytest.fixture
def real_client() -> Iterator[BackendClient]:
    with BackendClient() as client:
        yield client


@pytest.mark.slow
def test_the_process_finds_the_needles_that_this_process_finds(real_client, finish):
    volume = read_volume(SAMPLE)
    job = finish(real_client, real_client.start_locate(volume, OPTIONS))
    there = job.result().to_dict()
    here = InProcessLocalizer().locate(volume, OPTIONS, no_progress, CancelToken()).to_dict()
    assert there.pop("timings_s").keys() == here.pop("timings_s").keys()
    assert there == here
    assert real_client.server_info["weights"]

    ends = np.array([[needle["tip_lps"], needle["handle_lps"]] for needle in there["needles"]])
    beside = ends + [15.0, 0.0, 0.0]
    on_shaft = finish(real_client, real_client.start_score(job, ends)).result()
    off_shaft = finish(real_client, real_client.start_score(job, beside)).result()
    assert np.median(on_shaft) > np.median(off_shaft)


def test_an_option_that_cannot_be_used_is_refused_as_bad_input(real_client):
    options = LocateOptions(weights="no-such-weights")
    with pytest.raises(InputError, match="no-such-weights"):
        real_client.locate(read_volume(SAMPLE), options, no_progress, CancelToken())


def answer_of(client, finish, frame: np.ndarray, number: int, options: TrackOptions):
    return finish(client, client.start_track(frame, number, 0.1 * number, options=options)).result()


@pytest.mark.slow
def test_a_tip_is_found_in_frames_and_a_frame_that_is_none_is_refused(
    real_client, finish, eventually, tmp_path
):
    eventually(lambda: real_client.start() or real_client.server_info, "torch is imported")
    weights = str(write_untrained_weights(tmp_path))
    frame = np.random.default_rng(1).integers(0, 255, (48, 64), dtype=np.uint8)
    sure = answer_of(real_client, finish, frame, 7, TrackOptions(weights, "cpu", 0.0))
    answer = FrameAnswer.from_dict(sure)
    assert (answer.frame, answer.time_s, answer.state) == (7, pytest.approx(0.7), "detected")
    assert answer.tip == TipDetector(weights, "cpu", 0.0).detect(frame)
    assert (sure["device"], sure["weights"], sure["warnings"]) == ("cpu", "us_untrained", [])

    unsure = answer_of(real_client, finish, frame, 8, TrackOptions(weights, "cpu", 1.0))
    assert FrameAnswer.from_dict(unsure) == FrameAnswer(8, pytest.approx(0.8), "lost", None)

    with pytest.raises(InputError, match="grey image of 8 bits"):
        answer_of(real_client, finish, np.zeros((8, 8, 3), np.uint8), 9, TrackOptions(weights))
    with pytest.raises(InputError, match="no-such-weights"):
        answer_of(real_client, finish, frame, 10, TrackOptions("no-such-weights"))


def test_the_method_asked_for_is_the_one_used():
    array = np.full((4, 40, 40), -1000, np.int16)
    array[:, 10:30, 10:30] = 40
    volume = Volume(array, (2.0, 2.0, 5.0), (0.0, 0.0, 0.0))
    options = LocateOptions(device="cpu", method="classical")
    result = NeedleWork().locate(volume, options, no_progress, CancelToken())
    assert result.weights == "the classical method"
