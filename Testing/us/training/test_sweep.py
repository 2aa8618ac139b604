"""Tissue passes through the plane of a probe that is moved, and the needle slides along with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from needle_backend.us.training.settings import (
    MotionSettings,
    SequenceSettings,
    SimulationSettings,
    SweepSettings,
    TissueSettings,
)
from needle_backend.us.training.simulate import simulate_sequence

STILL = SimulationSettings(
    sequence=SequenceSettings(frames=8, fps=10.0, size=(320, 240), needle_free_share=1.0),
    tissue=TissueSettings(drift_px=(0, 0), warp_px=(0, 0), decorrelation=(0, 0), flicker_db=(0, 0)),
)
MOVED = replace(STILL, sweep=SweepSettings(share=1.0))


@pytest.fixture(scope="module")
def background() -> np.ndarray:
    """Return a grey image with bands across it and a bright spot."""
    rows, columns = np.mgrid[:240, :320]
    image = 60 + 40 * np.sin(rows / 9 + np.sin(columns / 40))
    image += 120 * np.exp(-((rows - 120) ** 2 + (columns - 100) ** 2) / 200)
    return image.clip(0, 255).astype(np.uint8)


def change(frames: np.ndarray) -> float:
    """Return how many grey levels change between the first frame and the last."""
    return float(np.abs(frames[-1].astype(float) - frames[0]).mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_under_a_moved_probe_the_picture_becomes_another(seed, background):
    still = simulate_sequence(STILL, seed, background).frames
    moved = simulate_sequence(MOVED, seed, background).frames
    assert change(still) < 5
    assert change(moved) > 2 * change(still)


def test_the_face_of_the_transducer_stays(background):
    only_planes = replace(
        MOVED, sweep=SweepSettings(share=1.0, slide_px_s=(0, 0), contact_db=(0, 0))
    )
    frames = simulate_sequence(only_planes, 1, background).frames.astype(float)
    rows = np.flatnonzero(frames.max(axis=(0, 2)) > 0)
    difference = np.abs(frames[-1] - frames[0]).mean(axis=1)
    assert difference[rows[0] : rows[0] + 6].mean() < 0.5 * difference[rows[0] + 40 :].max()


def test_without_a_sweep_every_byte_is_as_it_was(background):
    none = replace(STILL, sweep=SweepSettings(share=0.0, apart_px=(300, 400)))
    frames, others = (simulate_sequence(one, 5, background).frames for one in (STILL, none))
    assert np.array_equal(frames, others)


def test_the_needle_slides_with_what_is_seen(background):
    needle = replace(
        STILL,
        sequence=replace(STILL.sequence, needle_free_share=0.0),
        motion=MotionSettings(speed_mm_s=(0, 0), wander_mm=(0, 0), tilt_deg=(0, 0)),
    )
    sliding = SweepSettings(share=1.0, slide_px_s=(100, 100))
    places = []
    for settings in (needle, replace(needle, sweep=sliding)):
        truth = simulate_sequence(settings, 3, background).truth
        tips = np.array([one.tip_xy or one.hidden_tip for one in truth], float)
        places.append(np.hypot(*(tips[-1] - tips[0])))
    assert places[0] < 5
    assert places[1] > 30
