"""TipDet's training: what it reads, and a short one that goes on after a stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from us.planted import write_untrained_weights
from us.training.tip_sets import speckle

from needle_backend.core.errors import InputError
from needle_backend.core.settings import read_toml
from needle_backend.core.weights import load_state, write_weights
from needle_backend.us.flow import STILL, motion_image
from needle_backend.us.keyframes import MOST_KEYFRAMES
from needle_backend.us.tipdet import VideoTipDetector
from needle_backend.us.tipdet_network import KeyframeAttention, TwoStream
from needle_backend.us.training.dataset import AugmentSettings
from needle_backend.us.training.evaluate import average_precision
from needle_backend.us.training.following import look_at, threshold_when_followed
from needle_backend.us.training.motion_set import MovingImages, changed, load_motion_set
from needle_backend.us.training.rescoring_set import Moments, see_sequences
from needle_backend.us.training.train_rescoring import (
    TRUST,
    RescoringSettings,
    compared,
    trusted,
)
from needle_backend.us.training.train_tipdet import (
    ScheduleSettings,
    TipDetSettings,
    train_tipdet,
)

RECIPES = Path(__file__).parents[3] / "needle_backend" / "us" / "training" / "recipes"
SHORT = TipDetSettings(
    schedule=ScheduleSettings(epochs=2, batch=4, warm_up_epochs=0.5, workers=0),
    rescoring=RescoringSettings(epochs=2, batch=4),
)
FRAMES = 9


def write_punctures(folder: Path, sequences: int, fps: float, seed: int = 0) -> Path:
    """Write sequences in which a line gets longer in every frame but the last two."""
    rng = np.random.default_rng(seed)
    for number in range(sequences):
        sequence = folder / f"sequence_{number:03d}"
        (sequence / "frames").mkdir(parents=True)
        tissue, rows = speckle(rng, 120, 160), []
        for index in range(FRAMES):
            reach = 40 + 8 * min(index, FRAMES - 3)
            frame = tissue.copy()
            cv2.line(frame, (0, 20), (reach, 20 + reach // 2), 255, 3, cv2.LINE_AA)
            cv2.imwrite(str(sequence / "frames" / f"frame_{index:04d}.png"), frame)
            box = [reach - 18.0, 10.0 + reach // 2, 36.0, 20.0]
            rows.append({"visible": True, "tip": None, "box": box})
        (sequence / "truth.json").write_text(
            json.dumps({"fps": fps, "size": [160, 120], "frames": rows})
        )
    return folder


@pytest.fixture(scope="module")
def yolot(tmp_path_factory):
    return write_untrained_weights(tmp_path_factory.mktemp("yolot"))


def test_frames_are_taken_a_tenth_of_a_second_apart(tmp_path):
    slow = load_motion_set(write_punctures(tmp_path / "slow", 2, 10.0), 64, tmp_path / "cache")
    fast = load_motion_set(write_punctures(tmp_path / "fast", 2, 30.0), 64, tmp_path / "cache")
    assert slow.sequences == (tuple(range(1, 9)), tuple(range(10, 18)))
    assert fast.sequences == ((3, 6), (12, 15))
    squares = fast.images.squares()
    assert np.array_equal(fast.motion()[6], motion_image(squares[3], squares[6]))
    assert np.all(fast.motion()[5] == STILL)


def test_a_doubtful_frame_is_the_past_of_others_but_not_learnt_from(tmp_path):
    folder = write_punctures(tmp_path / "some", 1, 10.0)
    file = folder / "sequence_000" / "truth.json"
    truth = json.loads(file.read_text())
    truth["frames"][4] = {"visible": False, "doubtful": True}
    file.write_text(json.dumps(truth))
    images = load_motion_set(folder, 64, tmp_path / "cache")
    assert images.sequences == ((1, 2, 3, 5, 6, 7, 8),)
    squares = images.images.squares()
    assert np.array_equal(images.motion()[5], motion_image(squares[4], squares[5]))


def test_a_tip_that_has_moved_moves(tmp_path):
    images = load_motion_set(write_punctures(tmp_path / "some", 1, 10.0), 64, tmp_path / "cache")
    assert images.moving.tolist() == [False, *[True] * 6, False, False]


def test_a_mirrored_frames_motion_is_mirrored_with_it(tmp_path):
    images = load_motion_set(write_punctures(tmp_path / "some", 1, 10.0), 64, tmp_path / "cache")
    square, motion = images.images.squares()[4], images.motion()[4]
    rng = np.random.default_rng(0)
    settings = AugmentSettings(brightness=(1.0, 1.0), mirror_share=1.0)
    seen, moved, boxes = changed(square, motion, images.images.boxes[4], settings, rng)
    assert np.array_equal(seen, square[:, ::-1])
    expected = motion[:, ::-1].astype(int)
    assert np.abs((moved[..., 0].astype(int) - STILL) + (expected[..., 0] - STILL)).max() <= 1
    assert np.abs(moved[..., 1:].astype(int) - expected[..., 1:]).max() <= 1
    assert boxes[0, 0] == pytest.approx(63 - images.images.boxes[4][0, 0])


def test_an_item_depends_on_its_epoch_and_number_only(tmp_path):
    images = load_motion_set(write_punctures(tmp_path / "some", 1, 10.0), 64, tmp_path / "cache")
    settings = AugmentSettings(crop_px=32, zoom=(0.8, 1.2), noise=5.0)
    first, second = (MovingImages([(images, range(1, 9))], settings, 3) for _ in range(2))
    _ = second[(0, 1)]
    for name, value in first[(1, 2)].items():
        assert np.array_equal(value, second[(1, 2)][name])
    assert not np.array_equal(first[(1, 2)]["square"], first[(2, 2)]["square"])


def test_keyframes_of_a_moment_are_of_its_sequence_and_before_it(tmp_path):
    images = load_motion_set(write_punctures(tmp_path / "some", 2, 10.0), 64, tmp_path / "cache")
    network = TwoStream().eval()
    network.moving.bias.data.fill_(9.0)  # every frame is a keyframe
    seen = see_sequences(network, [(images, range(2))], tmp_path / "views.npy")
    assert len(seen.moments) == 16
    assert [len(moment.keyframes) for moment in seen.moments[:6]] == [0, 1, 2, 3, 4, 4]
    assert seen.moments[6].keyframes == (5, 4, 3, 2)
    assert seen.moments[6].ages_s == pytest.approx((0.1, 0.2, 0.3, 0.4))
    assert seen.moments[8].keyframes == (), "another sequence begins"
    item = Moments(seen)[6]
    assert (item["ages_s"] >= 0).sum() == MOST_KEYFRAMES
    assert (Moments(seen, forgotten_share=1.0)[6]["ages_s"] < 0).all()


def test_an_attention_changes_confidences_by_no_more_than_it_is_worth(tmp_path):
    images = load_motion_set(write_punctures(tmp_path / "some", 2, 10.0), 64, tmp_path / "cache")
    torch.manual_seed(3)
    network, attention = TwoStream().eval(), KeyframeAttention().eval()
    network.moving.bias.data.fill_(9.0)  # every frame is a keyframe
    torch.nn.init.normal_(attention.judge[-1].weight, std=20.0)
    seen = see_sequences(network, [(images, range(2))], tmp_path / "views.npy")
    alike, precision = trusted(attention, seen)
    shares = alike.judge[-1].weight / attention.judge[-1].weight
    share = float(shares.median())
    assert share in TRUST
    torch.testing.assert_close(shares, torch.full_like(shares, share))
    assert precision == mean_precision(seen, alike)
    assert precision >= mean_precision(seen, attention)


def mean_precision(seen, attention):
    return np.mean(list(average_precision(compared(seen, attention)).values()))


@pytest.mark.slow
def test_training_goes_on_after_a_stop_and_its_weights_answer(tmp_path, yolot):
    data = [write_punctures(tmp_path / "data", 3, 10.0)]
    held = [write_punctures(tmp_path / "held", 2, 30.0, seed=1)]
    output = tmp_path / "run"
    stopped = train_tipdet(SHORT, data, held, output, str(yolot), max_hours=1e-6)
    assert (
        json.loads(stopped.with_suffix(".json").read_text())["training"]["two_streams"]["epochs"]
        == 1
    )
    weights = train_tipdet(SHORT, data, held, output, str(yolot))
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["training"]["two_streams"]["epochs"] == 2
    assert card["training"]["start"] == "us_untrained"
    assert card["yolot_threshold"] == 0.3
    looked_at = list(look_at(VideoTipDetector(str(weights), "cpu", threshold=0.0), held))
    threshold, figures = threshold_when_followed(looked_at)
    assert card["threshold"] == threshold
    assert card["figures"]["validation"]["followed"]["miss_rate"] == figures["miss_rate"]
    assert weights.stat().st_size <= 2_000_000
    detector = VideoTipDetector(str(weights), "cpu", threshold=0.0)
    black = np.zeros((48, 64), np.uint8)
    assert all(detector.detect(black, number / 30) is not None for number in range(5))


@pytest.mark.slow
def test_training_goes_on_from_an_earlier_tipdet_over_another_yolot(tmp_path, yolot):
    data = [write_punctures(tmp_path / "data", 3, 10.0)]
    held = [write_punctures(tmp_path / "held", 2, 30.0, seed=1)]
    earlier = train_tipdet(SHORT, data, held, tmp_path / "first", str(yolot))
    state = {name: 2 * value for name, value in load_state(yolot).items()}
    card = json.loads(yolot.with_suffix(".json").read_text())
    other = write_weights(tmp_path / "other.safetensors", state, card)
    still = replace(SHORT, schedule=replace(SHORT.schedule, learning_rate=0.0, weight_decay=0.0))
    later = train_tipdet(still, data, held, tmp_path / "second", str(other), earlier=str(earlier))
    before, after, image = (load_state(path) for path in (earlier, later, other))
    assert torch.equal(after["streams.image.stem.conv.weight"], image["stem.conv.weight"])
    assert torch.equal(after["streams.joins.0.conv.weight"], before["streams.joins.0.conv.weight"])


def test_one_sequence_is_too_few_for_two_stages(tmp_path, yolot):
    data = [write_punctures(tmp_path / "data", 1, 10.0)]
    with pytest.raises(InputError, match="give folders of two or more"):
        train_tipdet(SHORT, data, data, tmp_path / "run", str(yolot))


def test_what_is_no_folder_of_sequences_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no labelled images"):
        load_motion_set(tmp_path, 64, tmp_path / "cache")


def test_recipes_can_be_read():
    recipe = read_toml(TipDetSettings, RECIPES / "tipdet_cpu.toml")
    assert recipe.rescoring.sequence_share == 0.4
