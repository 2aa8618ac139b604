"""A short training: it goes on after a stop, mixes sets, and its weights detect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from us.training.tip_sets import write_sequences

from needle_backend.core.errors import InputError
from needle_backend.us.detect import TipDetector
from needle_backend.us.training.dataset import DataSource
from needle_backend.us.training.evaluate import ComparedFrame
from needle_backend.us.training.train import (
    ScheduleSettings,
    TrainSettings,
    read_history,
    read_recipe,
    train,
)
from needle_backend.us.training.validate import operating_threshold

RECIPES = Path(__file__).parents[3] / "needle_backend" / "us" / "training" / "recipes"
SHORT = TrainSettings(
    input_px=64, schedule=ScheduleSettings(epochs=2, batch=4, warm_up_epochs=0.5, workers=0)
)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return [write_sequences(folder / name, 2, 6, seed) for seed, name in enumerate("ab")]


def card_of(weights: Path) -> dict:
    return json.loads(weights.with_suffix(".json").read_text())


@pytest.mark.slow
def test_training_goes_on_after_a_stop_and_its_weights_detect(sequences, tmp_path):
    stopped = train(SHORT, [DataSource(sequences[0])], tmp_path, sequences[1:], max_hours=1e-6)
    assert card_of(stopped)["training"]["epochs"] == 1
    weights = train(SHORT, [DataSource(sequences[0])], tmp_path, sequences[1:])
    training = card_of(weights)["training"]
    assert (training["steps"], training["steps_this_run"]) == (6, 3)
    assert [row["epoch"] for row in read_history(tmp_path / "history.json")] == [0, 1]
    assert weights.stat().st_size <= 1_000_000
    detector = TipDetector(str(weights), "cpu", threshold=0.0)
    assert detector.input_px == 64
    assert detector.detect(np.zeros((48, 64), np.uint8)) is not None


@pytest.mark.slow
def test_of_mixed_sets_each_has_its_loss_curve(sequences, tmp_path):
    third = replace(SHORT, schedule=replace(SHORT.schedule, validation_share=0.34))
    weights = train(third, [DataSource(folder) for folder in sequences], tmp_path)
    history = read_history(tmp_path / "history.json")
    assert all({"loss_a", "loss_b", "val_ap", "val_loss_a"} <= row.keys() for row in history)
    assert card_of(weights)["training"]["data"] == {"a": 8, "b": 8}
    assert card_of(weights)["training"]["validation"]["images"] == {"a": 4, "b": 4}


@pytest.mark.slow
def test_a_training_starts_from_an_earlier_ones_weights(sequences, tmp_path):
    first = train(SHORT, [DataSource(sequences[0])], tmp_path / "first", sequences[1:])
    second = train(SHORT, [DataSource(sequences[0])], tmp_path / "second", sequences[1:], first)
    assert card_of(second)["training"]["start"] == "us_yolot.safetensors, 342 tensors"


@pytest.mark.slow
def test_a_training_may_write_the_mean_of_its_start_and_its_end(sequences, tmp_path):
    first = train(SHORT, [DataSource(sequences[0])], tmp_path / "first", sequences[1:])

    def trained_on(share: float) -> dict[str, torch.Tensor]:
        settings = replace(SHORT, schedule=replace(SHORT.schedule, start_share=share))
        folder = tmp_path / f"share_{share}"
        return load_file(train(settings, [DataSource(sequences[0])], folder, sequences[1:], first))

    start, end, mean = load_file(first), trained_on(0.0), trained_on(0.5)
    name = "stem.conv.weight"
    assert not torch.equal(start[name], end[name])
    torch.testing.assert_close(mean[name], (start[name] + end[name]) / 2, rtol=1e-2, atol=1e-3)


def test_sets_without_a_tip_are_refused(tmp_path):
    folder = write_sequences(tmp_path / "empty", 1, 2)
    truth = folder / "sequence_000" / "truth.json"
    content = json.loads(truth.read_text())
    for frame in content["frames"]:
        frame.update(visible=False, box=None)
    truth.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no tip to train on"):
        train(SHORT, [DataSource(folder)], tmp_path / "out")


def test_the_published_recipe_is_the_published_one():
    recipe = read_recipe(RECIPES / "yolot_published.toml")
    schedule = recipe.schedule
    assert (recipe.input_px, schedule.batch, schedule.epochs) == (640, 128, 100)
    assert (schedule.learning_rate, schedule.weight_decay) == (1e-3, 5e-4)
    assert (schedule.warm_up_epochs, schedule.patience_epochs) == (3, 20)
    assert recipe.augment.brightness == (0.9, 1.1)
    assert (recipe.augment.mirror_share, recipe.augment.zoom) == (0, (1, 1))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("yolot_*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(path):
    assert read_recipe(path).schedule.epochs > 0


def test_a_recipe_for_an_impossible_size_is_refused(tmp_path):
    (tmp_path / "odd.toml").write_text("input_px = 100")
    with pytest.raises(InputError, match="multiple of 16"):
        read_recipe(tmp_path / "odd.toml")


def frame_answered(confidence: float, x: float | None, answer_x: float) -> ComparedFrame:
    true = np.zeros((0, 4)) if x is None else np.array([[x - 18, 90.0, 36, 20]])
    found = np.array([[answer_x - 18, 90.0, 36, 20]])
    return ComparedFrame((640, 640), true, found, np.array([confidence]))


def test_the_threshold_separates_right_answers_from_wrong_ones():
    frames = [
        *(frame_answered(c, 100, 105) for c in (0.9, 0.8, 0.6)),
        *(frame_answered(c, None, 300) for c in (0.3, 0.2)),
        frame_answered(0.25, 100, 400),
    ]
    threshold, figures = operating_threshold(frames)
    assert threshold == pytest.approx(0.45)
    assert figures["precision"] == 1.0
    assert figures["recall"] == 0.75


def test_one_answer_in_ten_may_be_wrong():
    right = [frame_answered(0.9 - 0.01 * place, 100, 105) for place in range(9)]
    wrong = [frame_answered(0.5 - 0.01 * place, None, 300) for place in range(5)]
    threshold, figures = operating_threshold(right + wrong)
    assert threshold == pytest.approx(0.495)
    assert figures["precision"] == 0.9


def test_a_detector_that_is_mostly_wrong_is_believed_where_it_is_least_so():
    frames = [
        frame_answered(0.9, 100, 300),
        frame_answered(0.8, 100, 105),
        *(frame_answered(c, None, 300) for c in (0.7, 0.6, 0.5)),
    ]
    assert operating_threshold(frames)[0] == pytest.approx(0.75)
