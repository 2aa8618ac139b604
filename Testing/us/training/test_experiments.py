"""Experiments: which trials they have, what is shared between them, and that they go on."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from us.training.tip_sets import speckle, write_sequences

from needle_backend.us.network import Yolot
from needle_backend.us.training import experiments
from needle_backend.us.training.curves import Curve, draw_curves
from needle_backend.us.training.experiments import Sources, run_experiment, table_rows
from needle_backend.us.training.train import ScheduleSettings, TrainSettings
from needle_backend.us.training.trials import EXPERIMENTS, SIZES, Size, Trial

TINY = Size("", (6,), 6, (4,), (1, 2), (1, 2), least_steps=2)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_no_two_trials_of_an_experiment_have_one_name(name, size):
    names = [trial.name for trial in EXPERIMENTS[name](size)]
    assert len(set(names)) == len(names) > 1


def test_few_real_images_compare_the_coco_start_with_synthetic_pre_training_by_seeds():
    trials = list(EXPERIMENTS["few-real"](SIZES["small"]))
    at_256 = [trial for trial in trials if trial.real == 256]
    assert [trial.arm for trial in at_256] == ["coco", "P"] * 3
    assert {trial.seed for trial in at_256} == {1, 2, 3}


def test_the_ablations_change_one_thing_each():
    _, full, real_tips, in_punctures = list(EXPERIMENTS["ablations"](SIZES["small"]))[:4]
    assert (full.base, full.patches) == ("free", "generated")
    assert (real_tips.base, real_tips.patches) == ("free", "real")
    assert (in_punctures.base, in_punctures.patches) == ("puncture", "generated")


def test_a_table_has_a_row_a_trial_with_the_spread_over_seeds():
    figures = {"rmse_px": None, "miss_rate": 0.25, "false_answer_rate": 0.0}
    results = [
        {"label": Trial("coco", 256).label, "figures": {**figures, "ap_01_05": ap}}
        for ap in (0.5, 0.6)
    ]
    rows = list(table_rows(results))
    assert len(rows) == 3
    assert rows[2].startswith("| coco_real256 | 2 | 0.550 ± 0.071 | - | 0.250 ± 0.000 |")


def test_curves_are_drawn_from_left_to_right_each_in_its_colour():
    picture = draw_curves("loss", "epoch", [Curve("a", [0, 1, 2], [3, 2, 1])])
    blue = (picture[..., 0] > 150) & (picture[..., 2] < 60)
    columns = np.nonzero(blue.any(axis=0))[0]
    assert columns.max() - columns.min() > 400


@pytest.fixture
def sources(tmp_path, monkeypatch) -> Sources:
    torch.manual_seed(1)
    save_file(Yolot().state_dict(), tmp_path / "start.safetensors")
    rng = np.random.default_rng(0)
    for folder, side in (("backgrounds", 160), ("tips", 64)):
        (tmp_path / folder).mkdir()
        for number in range(2):
            cv2.imwrite(
                str(tmp_path / folder / f"{number}.png"), 40 + speckle(rng, side, side) // 2
            )
    monkeypatch.setitem(experiments.SIZES, "small", TINY)
    schedule = ScheduleSettings(epochs=1, batch=2, warm_up_epochs=0.5, workers=0)
    monkeypatch.setattr(
        experiments, "read_recipe", lambda path: TrainSettings(input_px=64, schedule=schedule)
    )
    return Sources(
        tmp_path / "start.safetensors",
        write_sequences(tmp_path / "real", 1, 8, 1),
        write_sequences(tmp_path / "validation", 1, 4, 2),
        write_sequences(tmp_path / "test", 1, 4, 3),
        tmp_path / "backgrounds",
        tmp_path / "tips",
    )


@pytest.mark.slow
def test_an_experiment_runs_every_trial_once_and_draws_both_loss_curves(
    sources, tmp_path, monkeypatch
):
    output = tmp_path / "out"
    table = run_experiment("strategies", "small", sources, output)
    assert "| coco_realall | 1 |" in table.read_text()
    results = json.loads((output / "strategies_small.json").read_text())
    assert [result["trial"]["arm"] for result in results] == ["coco", "P", "D"]
    assert (output / "small" / results[2]["label"]).parent.exists()
    assert list(output.glob("small/D_*/losses.png"))

    monkeypatch.setattr(experiments, "train", None)
    assert run_experiment("strategies", "small", sources, output).exists(), (
        "nothing is trained anew"
    )
