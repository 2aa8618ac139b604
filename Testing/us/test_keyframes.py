"""Which frames are remembered, and what is cut out of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.us.flow import LEAST_MOTION_S
from needle_backend.us.keyframes import (
    MOST_KEYFRAMES,
    MOVING_PROBABILITY,
    KeyframeMemory,
    view_at,
    windows,
    with_margin,
)

FPS = 30.0
APART = 3
"""So many frames make up the least time between two."""


@given(st.lists(st.floats(0, 1), max_size=60))
def test_the_newest_frames_with_motion_are_kept_some_time_apart(probabilities):
    assert (APART - 1) / FPS < LEAST_MOTION_S <= APART / FPS
    memory = KeyframeMemory()
    for frame, moving in enumerate(probabilities):
        memory.offer(frame / FPS, moving, torch.tensor(frame))
    kept = [int(view) for view in memory.views]
    now = len(probabilities)
    assert memory.ages_s(now / FPS) == pytest.approx([(now - frame) / FPS for frame in kept])
    assert len(kept) == len(memory) <= MOST_KEYFRAMES
    assert all(probabilities[frame] > MOVING_PROBABILITY for frame in kept)
    assert all(new - old >= APART for new, old in zip(kept, kept[1:], strict=False))
    moving = [frame for frame, p in enumerate(probabilities) if p > MOVING_PROBABILITY]
    assert not moving or kept[0] > moving[-1] - APART, "none that is newer was left out"


def grid(rows: int, columns: int) -> torch.Tensor:
    """Return one view (1, 2, rows, columns) that shows column and row of each cell."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y])[None].float() + 1


def test_a_window_lies_about_its_cell_and_is_empty_beyond_the_picture():
    views = with_margin(torch.cat([grid(12, 20), grid(12, 20) * 10]))
    cells = torch.tensor([[7, 5], [0, 11]])
    cut = windows(views, cells)
    assert cut.shape == (2, 2, 81, 2)
    assert cut[0, 0, 40].tolist() == [8, 6], "column and row of the cell, counted from 1"
    assert cut[0, 1, 41].tolist() == [90, 60], "the next one to the right, of the other view"
    assert cut[1, 0].reshape(9, 9, 2)[:, :4].abs().sum() == 0
    assert cut[1, 0].reshape(9, 9, 2)[5:].abs().sum() == 0
    assert torch.equal(view_at(views, cells), cut[:, :, 40])
