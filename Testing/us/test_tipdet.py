"""TipDet on a stream: what it answers with before it has seen enough, and that it forgets."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from us.planted import write_untrained_weights

from needle_backend.core.errors import InputError
from needle_backend.core.weights import sha256_of
from needle_backend.us.candidates import candidates_of
from needle_backend.us.detect import TipDetector
from needle_backend.us.flow import motion_image
from needle_backend.us.keyframes import KeyframeMemory, with_margin
from needle_backend.us.live import make_detector
from needle_backend.us.network import Yolot
from needle_backend.us.preprocess import letterbox, normalised
from needle_backend.us.tipdet import VideoTipDetector, judged
from needle_backend.us.tipdet_network import TipDet, motion_input
from needle_backend.us.tips import (
    AS_TIPDET,
    AS_TWO_STREAMS,
    AS_YOLOT,
    TIPDET,
    YOLOT,
    Tip,
    TrackOptions,
)

INPUT_PX = 64
FPS = 30.0
APART = 3
"""Frames that make up the time over which motion is seen."""


def some_network() -> TipDet:
    """Return a TipDet that has learnt nothing, but answers with motion and keyframes."""
    torch.manual_seed(5)
    network = TipDet()
    network.streams.start_from(Yolot().state_dict())
    for join in network.streams.joins:
        torch.nn.init.normal_(join.norm.weight, std=0.5)
    torch.nn.init.constant_(network.streams.moving.bias, 1.0)
    torch.nn.init.normal_(network.attention.judge[-1].weight, std=0.5)
    return network.eval()


def write_tipdet(folder, network: TipDet, **card):
    path = folder / "us_some_tipdet.safetensors"
    save_file(network.state_dict(), path)
    told = {
        "name": path.stem,
        "sha256": sha256_of(path),
        "input": {"size_px": INPUT_PX},
        "threshold": 0.4,
        "yolot_threshold": 0.3,
        **card,
    }
    path.with_suffix(".json").write_text(json.dumps(told))
    return str(path)


@pytest.fixture
def weights(tmp_path) -> str:
    return write_tipdet(tmp_path, some_network())


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Return speckle in which a line gets longer, then stands still."""
    rng = np.random.default_rng(8)
    tissue = cv2.GaussianBlur(rng.uniform(0, 255, (48, 80)).astype(np.float32), (0, 0), 1.5)
    drawn = []
    for reach in [*range(10, 34, 2), *[34] * 8]:
        frame = np.uint8(tissue)
        cv2.line(frame, (0, 5), (2 * reach, 5 + reach), 255, 2, cv2.LINE_AA)
        drawn.append(frame)
    return drawn


def shown(
    detector: VideoTipDetector, frames: list[np.ndarray], fps: float = FPS
) -> list[Tip | None]:
    """Return what a detector answers to frames at a steady rate."""
    return [detector.detect(frame, number / fps) for number, frame in enumerate(frames)]


def test_until_it_has_seen_enough_it_answers_with_what_it_has(weights, frames):
    detector = VideoTipDetector(weights, "cpu", threshold=0.0)
    ways = []
    for number, frame in enumerate(frames):
        detector.detect(frame, number / FPS)
        ways.append(detector.answers_as)
    assert ways[:4] == [AS_YOLOT, AS_YOLOT, AS_YOLOT, AS_TWO_STREAMS]
    assert ways[-1] == AS_TIPDET
    assert detector.ways[AS_YOLOT] == APART
    assert sum(detector.ways.values()) == len(frames)


def test_its_first_answers_are_yolots(tmp_path, frames):
    yolot = write_untrained_weights(tmp_path, INPUT_PX)
    network = some_network()
    network.streams.image.load_state_dict(load_file(yolot))
    alone = TipDetector(str(yolot), "cpu", threshold=0.0)
    video = VideoTipDetector(write_tipdet(tmp_path, network), "cpu", threshold=0.0)
    for ours, frame in zip(shown(video, frames[:APART]), frames, strict=False):
        theirs = alone.detect(frame)
        assert (ours.x, ours.y) == pytest.approx((theirs.x, theirs.y), abs=1e-3)
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-5)


@torch.inference_mode()
def test_a_stream_gets_the_answers_of_all_its_frames_at_once(weights, frames):
    detector = VideoTipDetector(weights, "cpu", threshold=0.0)
    streamed = shown(detector, frames)[APART:]

    network = some_network()
    squares, placed = zip(*(letterbox(frame, INPUT_PX) for frame in frames), strict=True)
    motion = np.stack([motion_image(*pair) for pair in zip(squares, squares[3:], strict=False)])
    grey = normalised(torch.from_numpy(np.stack(squares[3:])))
    sight = network.streams(grey, motion_input(torch.from_numpy(motion)))
    views, memory = with_margin(sight.view), KeyframeMemory()
    for number, candidates in enumerate(candidates_of(sight.maps)):
        frame, view = number + APART, views[number : number + 1]
        confidence = candidates.confidence
        if len(memory):
            ages_s = memory.ages_s(frame / FPS)
            confidence = judged(network.attention, candidates, view, memory.views, ages_s)
        memory.offer(frame / FPS, float(torch.sigmoid(sight.moving[number])), view[0])
        tip = streamed[number]
        best = int(confidence.argmax())
        box = placed[frame].to_source(candidates.boxes[best : best + 1].numpy())[0]
        assert tip.confidence == pytest.approx(float(confidence[best]), abs=1e-4)
        assert (tip.x, tip.y, tip.width, tip.height) == pytest.approx(tuple(box), abs=1e-2)


def test_after_a_reset_or_another_size_it_remembers_nothing(weights, frames):
    detector = VideoTipDetector(weights, "cpu", threshold=0.0)
    first = shown(detector, frames)
    detector.reset()
    assert shown(detector, frames) == first
    detector.detect(frames[0][:, :-8], 1.0)
    assert detector.answers_as == AS_YOLOT


def test_where_the_time_goes_back_another_stream_begins(weights, frames):
    detector = VideoTipDetector(weights, "cpu", threshold=0.0)
    first = shown(detector, frames)
    assert shown(detector, frames) == first


def test_motion_is_that_of_a_tenth_of_a_second_at_any_rate(weights, frames):
    usual = VideoTipDetector(weights, "cpu", threshold=0.0)
    slow = VideoTipDetector(weights, "cpu", threshold=0.0)
    at_30_fps = shown(usual, [frame for frame in frames for _ in range(APART)])
    at_10_fps = shown(slow, frames, FPS / APART)
    assert slow.ways[AS_YOLOT] == 1, "the second frame is a tenth of a second later already"
    assert at_10_fps[1:3] == at_30_fps[APART : 3 * APART : APART]


def test_a_frame_that_is_refused_is_no_part_of_the_stream(weights, frames):
    detector = VideoTipDetector(weights, "cpu", threshold=0.0)
    shown(detector, frames[:APART])
    with pytest.raises(InputError):
        detector.detect(np.zeros((48, 80, 3), np.uint8), APART / FPS)
    detector.detect(frames[APART], APART / FPS)
    assert detector.answers_as == AS_TWO_STREAMS


def test_first_frames_count_from_yolots_threshold(tmp_path, frames):
    path = write_tipdet(tmp_path, some_network(), threshold=0.0, yolot_threshold=1.0)
    detector = VideoTipDetector(path, "cpu")
    answers = [tip is not None for tip in shown(detector, frames)]
    assert answers == [False] * APART + [True] * (len(frames) - APART)


def test_the_model_that_is_asked_for_is_the_one_that_looks(weights, tmp_path):
    asked = TrackOptions(weights, "cpu", 0.25, TIPDET)
    detector = make_detector(asked)
    assert isinstance(detector, VideoTipDetector)
    assert detector.threshold == 0.25
    yolot = replace(asked, weights=str(write_untrained_weights(tmp_path)), model=YOLOT)
    assert isinstance(make_detector(yolot), TipDetector)


def test_weights_of_another_network_are_refused(tmp_path):
    yolot = write_untrained_weights(tmp_path)
    with pytest.raises(InputError, match="do not describe a TipDet"):
        VideoTipDetector(str(yolot), "cpu")
