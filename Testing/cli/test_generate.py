"""Tips are trained, generated, fused, judged and shown to readers from the command line."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from us.training.tip_sets import speckle, write_sequences

from needle_backend.us.training.coco_files import read_coco

RECIPE = """
[network]
unshuffle = 4
channels = [16, 32]
attention = []
groups = 4

[schedule]
steps = 2
batch = 4
validate_every = 2
held_out_share = 0.5
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("made") / "sequences", sequences=10, frames=4)


@pytest.fixture
def patches(tmp_path):
    folder = tmp_path / "patches"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(12):
        cv2.imwrite(str(folder / f"tip_{number:05d}.png"), speckle(rng, 64, 64))
    return folder


def test_from_labelled_sequences_to_generated_tips_and_their_quality(needles, made, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    fresh = write_sequences(tmp_path / "fresh", sequences=2, frames=4, seed=5)
    run, tips, sheet = tmp_path / "run", tmp_path / "tips", tmp_path / "sheet.png"
    code, out, _ = needles(
        *("train", "tips", "--data", made, "--output", run, "--config", recipe, "--threads", 1)
    )
    assert code == 0
    assert "us_tip_ddpm.safetensors" in out
    weights = run / "us_tip_ddpm.safetensors"
    code, out, _ = needles(
        *("generate", "tips", "--count", 6, "--output", tips, "--seed", 1, "--steps", 2),
        *("--weights", weights, "--sheet", sheet, "--device", "cpu"),
    )
    assert code == 0
    assert len(list(tips.glob("*.png"))) == 6
    assert sheet.exists()
    code, out, _ = needles(
        *("evaluate", "tips", "--generated", tips, "--data", made, "--config", recipe),
        *("--seeds", 1, "--held-out", fresh),
    )
    assert code == 0
    found = json.loads(out)
    assert found["patches"] == {"generated": 6, "held_out": 14, "training": 10}
    assert 0 <= found["auc"]["mean"] <= 1


def test_fused_images_form_a_coco_set(needles, patches, tmp_path):
    (tmp_path / "backgrounds").mkdir()
    image = speckle(np.random.default_rng(2), 300, 400)
    cv2.imwrite(str(tmp_path / "backgrounds" / "arm.png"), image)
    code, out, err = needles(
        *("generate", "fused", "--backgrounds", tmp_path / "backgrounds", "--tips", patches),
        *("--count", 3, "--output", tmp_path / "fused", "--tips-per-image", 2),
    )
    assert (code, err) == (0, "")
    labelled = read_coco(tmp_path / "fused")
    assert [len(image.boxes) for image in labelled.images] == [2, 2, 2]
    assert {image.facts["background"] for image in labelled.images} == {"arm.png"}


def test_labelled_tips_are_cut_out(needles, made, tmp_path):
    code, out, err = needles("dataset", "tips", made, "--output", tmp_path / "cut")
    assert (code, err) == (0, "")
    assert "20 tips" in out
    assert len(list((tmp_path / "cut").glob("*.png"))) == 20


def test_a_blind_test_is_made_and_scored(needles, made, patches, tmp_path):
    code, _, err = needles(
        *("generate", "blindtest", "--real", made, "--generated", patches),
        *("--output", tmp_path / "blind", "--rounds", 2, "--of-each", 5),
    )
    assert (code, err) == (0, "")
    key = tmp_path / "blind" / "key.csv"
    filled = tmp_path / "filled.csv"
    filled.write_text(key.read_text().replace("truth", "answer"))
    code, out, _ = needles("evaluate", "blindtest", "--answers", filled, "--key", key)
    assert code == 0
    assert json.loads(out)["pooled"]["called_rightly"] == 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "tips", "--count", 1, "--weights", "no_such_weights"),
        ("generate", "tips", "--count", 1, "--weights", "any", "--sampler", "guess"),
        ("generate", "tips", "--weights", "any", "--count", 0),
        ("generate", "fused", "--count", 1, "--backgrounds", "nowhere", "--tips", "nowhere"),
        ("generate", "blindtest", "--real", "nowhere", "--generated", "nowhere"),
        ("train", "tips", "--data", "nowhere"),
    ],
)
def test_bad_input_ends_with_2_a_sentence_and_nothing_written(needles, tmp_path, arguments):
    code, _, err = needles(*arguments, "--output", tmp_path / "out")
    assert code == 2
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.png"))
