"""Parts of real images as new tissue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.core.settings import read_toml
from needle_backend.us.training import simulate
from needle_backend.us.training.recut import recut
from needle_backend.us.training.settings import (
    BackgroundSettings,
    SequenceSettings,
    SimulationSettings,
)
from needle_backend.us.training.simulate import simulate_sequence

SIZE = (160, 120)
ONE_PART = BackgroundSettings(grown_share=0.0)


def striped(rows: int = 240, columns: int = 320) -> np.ndarray:
    wave = 130 + 80 * np.sin(np.arange(rows) * 2 * np.pi / 24)
    return np.repeat(wave.astype(np.uint8)[:, None], columns, axis=1)


def slant_deg(picture: np.ndarray) -> float:
    """Return the angle at which the picture's lines lie, by its structure tensor."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 2)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    both = 2 * (across * down).sum()
    return float(np.degrees(0.5 * np.arctan2(both, (across**2 - down**2).sum()))) - 90


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), grown=st.sampled_from([0.0, 1.0]))
def test_a_recut_picture_is_tissue_from_edge_to_edge(seed, grown):
    image = np.zeros((300, 400), np.uint8)
    image[30:270, 50:370] = striped()
    asked = BackgroundSettings(grown_share=grown)
    parts = recut(image, SIZE, asked, np.random.default_rng(seed))
    if parts is not None:
        assert parts.picture.shape == SIZE[::-1]
        assert parts.picture.dtype == np.uint8
        assert (parts.picture > 20).mean() > 0.95


def test_parts_are_turned_as_far_as_asked():
    straight = replace(ONE_PART, stretch_most=1.0, turn_deg=(20, 20))
    for seed in range(8):
        parts = recut(striped(), SIZE, straight, np.random.default_rng(seed))
        if parts is not None:
            assert abs((slant_deg(parts.picture) + 90) % 180 - 90) == pytest.approx(20, abs=3)


def test_a_part_says_how_much_larger_it_has_become():
    asked = replace(ONE_PART, part=(0.25, 0.25), turn_deg=(0, 0), stretch_most=1.0)
    parts = recut(striped(), SIZE, asked, np.random.default_rng(2))
    assert parts is not None
    # A quarter of 320 columns fills 160.
    assert parts.scale == pytest.approx(2.0)


def test_an_image_that_is_nearly_all_black_gives_no_part():
    image = np.zeros((240, 320), np.uint8)
    image[100:110] = 200
    assert recut(image, SIZE, ONE_PART, np.random.default_rng(0)) is None


def test_the_same_seed_cuts_the_same_part_and_another_another():
    noise = np.random.default_rng(3).uniform(20, 255, (240, 320)).astype(np.uint8)
    first, again, other = (
        recut(noise, SIZE, BackgroundSettings(), np.random.default_rng(seed)) for seed in (1, 1, 5)
    )
    np.testing.assert_array_equal(first.picture, again.picture)
    assert (first.picture != other.picture).mean() > 0.5


def simulated(background: BackgroundSettings) -> np.ndarray:
    asked = SimulationSettings(
        sequence=SequenceSettings(frames=2, fps=6.0, size=(320, 240), needle_free_share=1.0),
        background=background,
    )
    return simulate_sequence(asked, 4, striped() // 4).frames


def test_sequences_without_varied_backgrounds_stay_what_they_were():
    np.testing.assert_array_equal(
        simulated(BackgroundSettings()), simulated(BackgroundSettings(turn_deg=(5, 9)))
    )


def test_drawn_sheets_brighten_a_real_image():
    plain = simulated(BackgroundSettings()).astype(float)
    drawn = simulated(BackgroundSettings(drawn_share=1.0)).astype(float)
    assert np.percentile(drawn, 99) > np.percentile(plain, 99) + 10


def test_sequences_over_recut_images_differ_from_those_over_the_whole():
    assert (simulated(BackgroundSettings(recut_share=1.0)) != simulated(BackgroundSettings())).any()


def test_varied_backgrounds_lie_over_other_settings():
    recipes = Path(simulate.__file__).parent / "recipes"
    faint = read_toml(SimulationSettings, recipes / "needles_faint.toml")
    varied = read_toml(SimulationSettings, recipes / "backgrounds_varied.toml", onto=faint)
    assert varied.background.recut_share > 0
    assert varied.needle == faint.needle
    assert varied.sequence.frames == faint.sequence.frames
