"""Ends on the slices of a volume: where they are, piece by piece, and stopping in between."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from needle_backend.core.errors import Cancelled
from needle_backend.core.progress import CancelToken
from needle_backend.ct import batches
from needle_backend.ct.detect import detect_ends, neighbour_stacks
from needle_backend.ct.ends import HANDLE, TIP
from needle_backend.ct.preprocess import InputSettings, neighbour_stack

SETTINGS = InputSettings(windows_hu=((-1000.0, 1000.0),), neighbours=1)


class BrightSpots(torch.nn.Module):
    """Sees a tip, pointing right, in every cell whose middle slice is bright, and a memory limit.

    Neighbouring slices must be as dark as air, or it sees nothing.
    """

    def __init__(self, holds: int = 100) -> None:
        super().__init__()
        self.place = torch.nn.Parameter(torch.zeros(1))
        self.holds = holds

    def features(self, image):
        if len(image) > self.holds:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        below, middle, above = F.max_pool2d(image.float(), 4).unbind(1)
        return (middle - below - above)[:, None]

    def heatmap_logits(self, features):
        tip = 20 * features - 10
        return torch.cat([torch.full_like(tip, -9.0), tip], dim=1)

    def offset_at(self, features, cells):
        return torch.tensor([[0.25, 0.5]]).expand(len(cells), 2)

    def direction_at(self, features, cells):
        return torch.tensor([[1.0, 0.0]]).expand(len(cells), 2)


SPOTS = [(0, 10, 20), (2, 30, 8), (2, 50, 60), (7, 61, 70), (9, 3, 3)]


@pytest.fixture
def volume():
    array = np.full((10, 66, 90), -1000, np.int16)
    for slice_index, row, column in SPOTS:
        array[slice_index, row, column] = 900
    return array


def places(ends):
    return sorted(zip(ends.slice_index, ends.row, ends.column, strict=True))


EXPECTED = [(k, 4 * (row // 4) + 2, 4 * (column // 4) + 1) for k, row, column in SPOTS]


def test_every_end_is_seen_on_its_slice(volume):
    # On the first and the last slice the missing neighbour is the slice itself.
    ends = detect_ends(BrightSpots(), volume, SETTINGS)
    assert places(ends) == [place for place in EXPECTED if place[0] not in (0, 9)]
    assert set(ends.kind) == {TIP} and HANDLE not in ends.kind
    np.testing.assert_allclose(ends.angle_deg, 0.0)


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 16])
def test_slices_together_show_the_same_as_one_by_one(volume, monkeypatch, at_once):
    one_by_one = detect_ends(BrightSpots(), volume, SETTINGS)
    monkeypatch.setattr(batches, "CPU_SLICES", at_once)
    assert places(detect_ends(BrightSpots(), volume, SETTINGS)) == places(one_by_one)


def test_short_memory_changes_nothing_but_is_told(volume, monkeypatch):
    monkeypatch.setattr(batches, "CPU_SLICES", 8)
    warnings: list[str] = []
    ends = detect_ends(BrightSpots(holds=2), volume, SETTINGS, warn=warnings.append)
    assert places(ends) == places(detect_ends(BrightSpots(), volume, SETTINGS))
    assert len(warnings) == 1
    assert "2 slices at once" in warnings[0]


def test_a_cancel_is_heard_after_every_slice(volume):
    cancel = CancelToken()
    done = []

    def progress(stage, fraction):
        done.append(fraction)
        if len(done) == 3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        detect_ends(BrightSpots(), volume, SETTINGS, progress, cancel)
    assert done == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("numbers", [range(0, 1), range(3, 7), range(8, 10)])
def test_slices_travel_with_their_neighbours(volume, numbers):
    stacks = neighbour_stacks(volume, numbers, 1, torch.device("cpu"))
    expected = [neighbour_stack(volume, k, 1) for k in numbers]
    np.testing.assert_array_equal(stacks.numpy(), np.stack(expected))


def test_a_volume_that_cannot_be_written_to_can_be_searched(volume):
    expected = places(detect_ends(BrightSpots(), volume, SETTINGS))
    volume.flags.writeable = False
    assert places(detect_ends(BrightSpots(), volume[:, ::-1][:, ::-1], SETTINGS)) == expected
