"""Crops, losses and a short training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from needle_backend.core.errors import InputError
from needle_backend.core.weights import find_weights
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.network import NetworkSettings
from needle_backend.ct.preprocess import InputSettings
from needle_backend.ct.training.dataset import Case, CropDataset, CropSettings, load_cases
from needle_backend.ct.training.factory import CaseOrder, simulate_cases
from needle_backend.ct.training.labels import SliceEnd
from needle_backend.ct.training.losses import angle_loss, focal_loss, offset_loss
from needle_backend.ct.training.settings import GridSettings, SimulationSettings
from needle_backend.ct.training.slice_score import score_slices
from needle_backend.ct.training.train import ScheduleSettings, TrainSettings, read_recipe, train
from needle_backend.ct.weights import load_network


@pytest.fixture
def bright_line_case(tmp_path) -> Case:
    """A bright shaft, tip at column 150 and row 90, handle up and to the right."""
    array = np.full((3, 256, 256), -1000, np.int16)
    for t in np.linspace(0, 1, 400):
        array[1, round(90 - 60 * t), round(150 + 60 * t)] = 800
    np.save(tmp_path / "case.npy", array)
    tip = SliceEnd("tip", 0, 1, 150.0, 90.0, 45.0)
    return Case("line", "anna", tmp_path / "case.npy", 0.9, (tip,))


def test_targets_follow_the_turned_mirrored_and_scaled_picture(bright_line_case):
    crops = CropSettings(
        size_px=128, label_centred_share=1.0, extra_noise_hu=0.0, quarter_turn_share=0.5
    )
    windows = InputSettings(windows_hu=((-1000.0, 800.0),), neighbours=1)
    data = CropDataset([bright_line_case], crops, windows, 20, seed=3)
    for index in range(20):
        item = data[index]
        if item["count"] == 0:
            continue
        row, column, offset_x, offset_y, cos, sin = item["ends"][0]
        x, y = 4 * (column + offset_x), 4 * (row + offset_y)
        picture = item["image"][1]
        along = [_pixel(picture, x + r * cos, y - r * sin) for r in (4, 8, 12)]
        behind = [_pixel(picture, x - r * cos, y + r * sin) for r in (6, 10)]
        assert item["heatmap"][TIP].max() == 1.0
        assert np.nanmax(along) > np.nanmax(behind) + 0.2


def test_the_same_epoch_and_index_give_the_same_crop(bright_line_case):
    data = CropDataset([bright_line_case], CropSettings(size_px=64), InputSettings(), 4, seed=1)
    np.testing.assert_array_equal(data[2]["image"], data[2]["image"])
    before = data[2]["image"]
    data.epoch = 1
    assert not np.array_equal(before, data[2]["image"])


def test_a_perfect_answer_costs_almost_nothing_and_a_wrong_one_much():
    heatmap = torch.zeros(1, 2, 8, 8)
    heatmap[0, 1, 3, 3] = 1.0
    right = torch.where(heatmap == 1, 12.0, -12.0)
    assert focal_loss(right, heatmap) < 1e-3
    assert focal_loss(-right, heatmap) > 10
    direction = torch.tensor([[1.0, 0.0]])
    assert angle_loss(direction, direction) == 0
    assert angle_loss(-direction, direction) == 2
    assert offset_loss(torch.zeros(0, 2), torch.zeros(0, 2)) == 0


def test_a_detection_counts_once_and_only_within_5_mm_and_20_degrees():
    labels = [SliceEnd("tip", 0, 0, 50.0, 50.0, 10.0), SliceEnd("handle", 0, 0, 50.0, 50.0, 10.0)]
    found = SliceEnds(
        kind=np.array([TIP, TIP, TIP]),
        column=np.array([51.0, 50.5, 50.0]),
        row=np.array([50.0, 50.0, 50.0]),
        slice_index=np.zeros(3, int),
        angle_deg=np.array([370.0, 12.0, 40.0]),
        score=np.ones(3),
    )
    score = score_slices(found, labels, TIP, pixel_mm=1.0)
    assert (score.hits, score.missed, score.false) == (1, 0, 2)
    assert score.mae_mm == pytest.approx(0.5)
    assert score_slices(found, labels, HANDLE, pixel_mm=1.0).missed == 1


def test_the_shipped_recipe_can_be_read():
    from needle_backend.cli.train import DEFAULT_RECIPE

    assert read_recipe(DEFAULT_RECIPE).network.backbone == "hrnet_w18_small"


@pytest.fixture(scope="module")
def few_cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    settings = SimulationSettings(grid=GridSettings(slices=(6, 6), slice_mm=(5.0,), matrix=256))
    needles = replace(settings.needles, count=(4, 6), length_mm=(100.0,))
    settings = replace(settings, needles=needles)
    list(simulate_cases(CaseOrder(settings, seed=1, cases=3, output=folder)))
    return folder


@pytest.mark.slow
def test_training_goes_on_after_a_stop_and_exports_weights_with_a_card(few_cases, tmp_path):
    recipe = TrainSettings(
        network=NetworkSettings(width=16, head_width=8),
        crops=CropSettings(size_px=64),
        schedule=ScheduleSettings(
            epochs=2, crops_an_epoch=8, batch=4, validation_share=0.34, validation_slices=2
        ),
    )
    stopped = train(recipe, [few_cases], tmp_path, max_hours=1e-6)
    assert json.loads(stopped.with_suffix(".json").read_text())["training"]["epochs"] == 1
    weights = train(recipe, [few_cases], tmp_path)
    card = json.loads(weights.with_suffix(".json").read_text())
    assert (card["training"]["steps"], card["training"]["steps_this_run"]) == (4, 2)
    assert card["architecture"]["backbone"] == "hrnet_w18_small"
    network, inputs = load_network(find_weights(str(weights)), "cpu")
    assert not network.training
    assert inputs == recipe.input


def test_folders_of_one_name_are_not_taken_for_each_other(tmp_path):
    settings = SimulationSettings(grid=GridSettings(slices=(4, 4), slice_mm=(5.0,), matrix=256))
    folders = [tmp_path / place / "cases" for place in ("first", "second")]
    for seed, folder in enumerate(folders):
        list(simulate_cases(CaseOrder(settings, seed=seed, cases=1, output=folder)))
    first, second = load_cases(folders, tmp_path / "cache")
    assert first.patient != second.patient
    assert not np.array_equal(first.array(), second.array())


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match="no cases"):
        train(TrainSettings(), [tmp_path], tmp_path / "out")


def _pixel(picture: np.ndarray, x: float, y: float) -> float:
    i, j = round(x), round(y)
    if not (1 <= i < picture.shape[1] - 1 and 1 <= j < picture.shape[0] - 1):
        return float("nan")
    return float(picture[j - 1 : j + 2, i - 1 : i + 2].max())
