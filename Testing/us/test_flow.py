"""Motion between two frames: of a needle, not of the tissue around it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from needle_backend.us.flow import LEVELS_A_PX, STILL, motion_image

SIDE = 160


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Return soft speckle without any dark part, uint8."""
    waves = np.random.default_rng(3).normal(size=(2, SIDE, SIDE)).astype(np.float32)
    smooth = [cv2.GaussianBlur(wave, (0, 0), 3.0) for wave in waves]
    return np.clip(30 + 400 * np.hypot(*smooth), 0, 255).astype(np.uint8)


def with_spot(tissue: np.ndarray, x: float, y: float = 80.0) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    spot = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    return np.clip(tissue * 0.5 + spot, 0, 255).astype(np.uint8)


def moved(image: np.ndarray, x: float, y: float) -> np.ndarray:
    shift = np.float32([[1, 0, x], [0, 1, y]])
    return cv2.warpAffine(image, shift, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def test_nothing_moves_between_equal_frames(tissue):
    motion = motion_image(tissue, tissue)[:-24, :-24]  # Farneback's flow is not quite 0 at edges
    assert np.abs(motion.astype(int) - STILL).max() < 0.5 * LEVELS_A_PX


def test_a_spot_that_moves_is_seen_to_move_and_to_brighten_where_it_goes(tissue):
    motion = motion_image(with_spot(tissue, 78), with_spot(tissue, 82)).astype(int) - STILL
    right, down, brighter = motion[80, 80]
    assert right > 1.5 * LEVELS_A_PX, "to the right"
    assert abs(down) < 0.5 * LEVELS_A_PX
    assert motion[80, 88, 2] > 20 and motion[80, 72, 2] < -20


def test_what_moves_with_the_whole_picture_does_not_move(tissue):
    motion = motion_image(tissue, moved(tissue, 2.0, 1.0)).astype(int) - STILL
    inner = motion[30:-30, 30:-30]
    assert np.median(np.abs(inner[..., :2])) < 0.3 * LEVELS_A_PX
    assert np.median(np.abs(inner[..., 2])) < 4


def test_a_mirrored_picture_moves_the_other_way(tissue):
    there = motion_image(with_spot(tissue, 70), with_spot(tissue, 75)).astype(int)
    back = motion_image(
        *(np.ascontiguousarray(with_spot(tissue, x)[:, ::-1]) for x in (70, 75))
    ).astype(int)[:, ::-1]
    assert np.abs((there[..., 0] - STILL) + (back[..., 0] - STILL)).mean() < 4
    assert np.abs(there[..., 1:] - back[..., 1:]).mean() < 2
