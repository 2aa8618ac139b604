"""Simulated punctures under ultrasound and what is known about them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from needle_backend.cli.app import run
from needle_backend.core.errors import InputError
from needle_backend.core.settings import read_toml
from needle_backend.us.training import simulate
from needle_backend.us.training.factory import SequenceOrder, simulate_sequences
from needle_backend.us.training.settings import (
    SequenceSettings,
    SimulationSettings,
)
from needle_backend.us.training.simulate import SimulatedSequence, simulate_sequence
from needle_backend.us.training.truth import VISIBLE_CONTRAST, contrast_at, line_contrast

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "us_clinical.toml"
RECIPES = Path(simulate.__file__).parent / "recipes"
SMALL = SimulationSettings(sequence=SequenceSettings(frames=6, fps=6.0, size=(320, 240)))
WITH_NEEDLE = replace(SMALL, sequence=replace(SMALL.sequence, needle_free_share=0.0))


@pytest.fixture(scope="module")
def sequences() -> list[SimulatedSequence]:
    return [simulate_sequence(WITH_NEEDLE, seed) for seed in range(14)]


def a_background() -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (260, 340)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=6, sigmaY=2)
    return cv2.normalize(smooth, None, 10, 120, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize("background", [None, a_background()], ids=["procedural", "real"])
def test_the_same_seed_gives_the_same_frames_and_truth(background):
    first, second = (simulate_sequence(SMALL, 5, background) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    assert first.truth == second.truth


def test_another_seed_gives_another_sequence():
    first, second = simulate_sequence(SMALL, 5), simulate_sequence(SMALL, 6)
    assert (first.frames != second.frames).mean() > 0.1


def test_frames_are_grey_pictures_of_the_size_asked_for(sequences):
    for sequence in sequences:
        assert sequence.frames.dtype == np.uint8
        assert sequence.frames.shape == (6, 240, 320)
        assert 5 < sequence.frames.mean() < 130


def test_consecutive_frames_differ_as_in_live_imaging(sequences):
    for sequence in sequences:
        frames = sequence.frames.astype(float)
        assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2)).min() > 0.3
        assert np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1] > 0.4


def test_a_visible_tip_lies_in_the_middle_of_its_box(sequences):
    seen = [truth for sequence in sequences for truth in sequence.truth if truth.visible]
    assert len(seen) > 10
    for truth in seen:
        x, y, width, height = truth.box
        assert (x + width / 2, y + height / 2) == pytest.approx(truth.tip_xy, abs=0.02)
        assert 10 <= width <= 26
        assert 6 <= height <= 16
        assert truth.hidden_tip is None


def test_a_tip_is_visible_only_where_it_stands_out(sequences):
    truths = [truth for sequence in sequences for truth in sequence.truth]
    assert any(truth.hidden_tip is not None for truth in truths)
    for truth in truths:
        assert truth.visible == (truth.contrast >= VISIBLE_CONTRAST)
        if not truth.visible:
            assert truth.tip_xy is None
            assert truth.box is None


def test_settings_may_count_the_end_of_a_seen_shaft_as_a_visible_tip(sequences):
    lenient = replace(
        WITH_NEEDLE, sequence=replace(WITH_NEEDLE.sequence, tip_contrast_on_shaft=0.1)
    )
    both = [
        pair
        for seed, sequence in enumerate(sequences)
        for pair in zip(sequence.truth, simulate_sequence(lenient, seed).truth, strict=True)
    ]
    assert all(truth.visible for usual, truth in both if usual.visible)
    more = [truth for usual, truth in both if truth.visible and not usual.visible]
    assert more
    assert all(0.1 <= truth.contrast < VISIBLE_CONTRAST for truth in more)


def test_the_picture_is_brighter_at_most_visible_tips_than_around(sequences):
    brighter = []
    for sequence in sequences:
        for frame, truth in zip(sequence.frames, sequence.truth, strict=True):
            if truth.visible:
                x, y = (round(value) for value in truth.tip_xy)
                spot = frame[max(y - 6, 0) : y + 7, max(x - 7, 0) : x + 8]
                around = frame[max(y - 26, 0) : y + 27, max(x - 32, 0) : x + 33]
                brighter.append(np.percentile(spot, 85) > np.percentile(around, 70))
    assert np.mean(brighter) > 0.85


def test_without_a_needle_there_is_no_tip():
    none = replace(SMALL, sequence=replace(SMALL.sequence, needle_free_share=1.0))
    sequence = simulate_sequence(none, 4)
    assert not sequence.facts["needle"]
    for truth in sequence.truth:
        assert not truth.visible
        assert truth.hidden_tip is None


def test_a_real_background_stays_recognisable():
    none = replace(SMALL, sequence=replace(SMALL.sequence, needle_free_share=1.0))
    background = a_background()
    frame = simulate_sequence(none, 4, background).frames[0]
    patch = background[100:180, 120:220]
    # Placed between fitting and filling the picture: 0.92 to 0.95 times its size.
    best = max(
        cv2.matchTemplate(frame, cv2.resize(patch, None, fx=s, fy=s), cv2.TM_CCOEFF_NORMED).max()
        for s in np.arange(0.9, 0.97, 0.01)
    )
    assert best > 0.7


def test_contrast_grows_with_what_the_tip_adds():
    tissue = np.random.default_rng(1).normal(60, 12, (200, 200)).clip(0, 255)
    spot = np.exp(-(((np.indices((200, 200)) - 100) / 5) ** 2).sum(0))
    faint, bright = (
        contrast_at(tissue, tissue + level * spot, np.array([100.0, 100.0])) for level in (10, 90)
    )
    assert faint < VISIBLE_CONTRAST < bright
    assert contrast_at(tissue, tissue, np.array([100.0, 100.0])) <= 0
    assert contrast_at(tissue, tissue + 90 * spot, np.array([500.0, 100.0])) == 0


def test_a_bright_tip_on_a_bright_line_does_not_stand_out():
    tissue = np.full((200, 200), 40.0)
    tissue[95:106] = 230
    spot = 60 * np.exp(-(((np.indices((200, 200)) - 100) / 5) ** 2).sum(0))
    with_tip = np.minimum(tissue + spot, 255)
    assert contrast_at(tissue, with_tip, np.array([100.0, 100.0])) < VISIBLE_CONTRAST


def test_a_line_stands_out_by_its_length_where_no_spot_of_it_does():
    tissue = np.random.default_rng(2).normal(90, 20, (200, 200)).clip(0, 255)
    with_shaft = tissue.copy()
    with_shaft[99:102, 60:] += 16
    lines = np.stack(np.meshgrid(np.arange(60.0, 156), np.arange(74.0, 127)), -1)
    assert contrast_at(tissue, with_shaft, np.array([70.0, 100.0])) < VISIBLE_CONTRAST
    assert line_contrast(tissue, with_shaft, lines) > 3
    assert line_contrast(tissue, tissue, lines) <= 0
    assert line_contrast(tissue, with_shaft, lines + (100, 0)) == 0


def test_a_needle_over_its_tissue_stands_out_by_what_the_settings_say():
    def contrast(over_db: float) -> float:
        needle = replace(
            SMALL.needle,
            over_tissue_share=1.0,
            over_tissue_db=(over_db, over_db),
            dropout_db=(0, 0),
        )
        in_plane = replace(SMALL.motion, wander_mm=(0, 0), tilt_deg=(0, 0))
        settings = replace(WITH_NEEDLE, needle=needle, motion=in_plane)
        truths = [simulate_sequence(settings, seed).truth[0] for seed in range(8)]
        return float(np.median([truth.contrast for truth in truths if truth.contrast]))

    assert contrast(0.0) + 1 < contrast(18.0)


def test_what_only_some_would_see_is_doubtful_and_never_visible():
    settings = read_toml(SimulationSettings, RECIPES / "needles_faint.toml")
    by_line = replace(settings.sequence, frames=1, size=(320, 240), needle_free_share=0.0)
    by_spots = replace(by_line, end_contrast_on_line=math.inf)
    lines, spots = (
        [simulate_sequence(replace(settings, sequence=rule), seed).truth[0] for seed in range(24)]
        for rule in (by_line, by_spots)
    )
    assert any(truth.doubtful for truth in lines)
    assert not any(truth.doubtful and truth.visible for truth in lines)
    assert not any(truth.doubtful for truth in spots)
    assert sum(truth.visible for truth in lines) > sum(truth.visible for truth in spots)


def test_the_benchmark_is_not_the_training_setting():
    benchmark, training = read_toml(SimulationSettings, BENCHMARK), SimulationSettings()
    for part in ("probe", "tissue", "needle", "motion"):
        assert getattr(benchmark, part) != getattr(training, part)
    assert benchmark.sequence.frames == 60
    assert 0.1 <= benchmark.sequence.needle_free_share <= 0.2


def test_a_phantom_is_even():
    def unevenness(phantom_share: float) -> float:
        tissue = replace(SMALL.tissue, phantom_share=phantom_share, contact_loss_share=0.0)
        still = replace(SMALL, tissue=tissue)
        still = replace(still, sequence=replace(still.sequence, frames=2, needle_free_share=1.0))
        middles = [simulate_sequence(still, seed).frames[0, 60:180, 100:220] for seed in range(8)]
        return float(np.median([cv2.blur(one, (9, 9)).std() for one in middles]))

    assert unevenness(1.0) < 0.6 * unevenness(0.0)


@pytest.mark.parametrize("look", ["wide", "fine", "faint", "coarse"])
def test_a_training_recipe_makes_needles_of_every_brightness(look):
    settings = read_toml(SimulationSettings, RECIPES / f"needles_{look}.toml")
    one_frame = replace(settings, sequence=replace(settings.sequence, frames=1, size=(320, 240)))
    truths = [simulate_sequence(one_frame, seed).truth[0] for seed in range(12)]
    contrasts = [truth.contrast for truth in truths if truth.visible]
    assert max(contrasts) > 2 * min(contrasts)


def test_unknown_settings_are_refused_by_name(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[needle]\nlenght_mm = [1, 2]\n")
    with pytest.raises(InputError, match="lenght_mm"):
        read_toml(SimulationSettings, file)


def test_the_command_writes_frames_truth_and_a_sheet(tmp_path):
    output, sheet = tmp_path / "made", tmp_path / "sheet.png"
    words = f"simulate us --sequences 2 --seed 7 --frames 3 --output {output} --sheet {sheet}"
    assert run(words.split()) == 0
    assert cv2.imread(str(sheet)) is not None
    for number in range(2):
        folder = output / f"sequence_{number:03d}"
        truth = json.loads((folder / "truth.json").read_text())
        assert truth["size"] == [640, 480]
        assert truth["fps"] == 30
        assert [path.name for path in sorted((folder / "frames").iterdir())] == [
            f"frame_{frame:04d}.png" for frame in range(3)
        ]
        assert len(truth["frames"]) == 3
        assert {"visible", "tip", "box", "hidden_tip"} <= set(truth["frames"][0])


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    order = SequenceOrder(SMALL, seed=3, sequences=2, output=tmp_path)
    first, second = simulate_sequences(order)
    before = (second / "truth.json").read_bytes()
    untouched = (first / "truth.json").stat().st_mtime_ns
    (second / "truth.json").unlink()
    assert list(simulate_sequences(order)) == [first, second]
    assert (second / "truth.json").read_bytes() == before
    assert (first / "truth.json").stat().st_mtime_ns == untouched


def test_a_folder_without_backgrounds_is_bad_input(tmp_path, capsys):
    words = f"simulate us --sequences 1 --output {tmp_path / 'made'} --backgrounds {tmp_path}"
    assert run(words.split()) == 2
    assert "holds no image" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
