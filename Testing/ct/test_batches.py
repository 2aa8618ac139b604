"""How many slices go through the network at once, and what happens when memory is short."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.ct import batches
from needle_backend.ct.batches import GPU_SLICES, in_batches, slices_that_fit

CPU = torch.device("cpu")


class SmallMemory:
    """Work that runs out of memory with too many slices at once."""

    def __init__(self, holds: int) -> None:
        self.holds = holds
        self.sizes: list[int] = []
        self.warnings: list[str] = []

    def __call__(self, numbers: range) -> list[int]:
        self.sizes.append(len(numbers))
        if len(numbers) > self.holds:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return list(numbers)

    def slices_done(self, count: int) -> list[int]:
        return [n for _, done in in_batches(self, count, CPU, self.warnings.append) for n in done]


@given(
    holds=st.integers(1, 12),
    planned=st.integers(1, 12),
    count=st.integers(0, 30),
)
def test_every_slice_is_done_once_and_in_order_whatever_fits(holds, planned, count):
    work = SmallMemory(holds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "CPU_SLICES", planned)
        assert work.slices_done(count) == list(range(count))


def test_fewer_slices_at_once_are_tried_until_they_fit_and_that_is_told(monkeypatch):
    monkeypatch.setattr(batches, "CPU_SLICES", 8)
    work = SmallMemory(holds=3)
    work.slices_done(8)
    assert work.sizes == [1, 7, 3, 3, 1]
    assert work.warnings == [
        "The memory of cpu was short: 3 slices at once were looked at, not 8, which takes longer."
    ]


def test_nothing_is_told_when_all_fit(monkeypatch):
    monkeypatch.setattr(batches, "CPU_SLICES", 4)
    work = SmallMemory(holds=4)
    work.slices_done(10)
    assert work.sizes == [1, 4, 4, 1]
    assert work.warnings == []


def test_memory_that_holds_no_slice_at_all_is_an_error():
    with pytest.raises(torch.cuda.OutOfMemoryError):
        SmallMemory(holds=0).slices_done(3)


@given(free=st.integers(0, 2**40), a_slice=st.integers(1, 2**34))
def test_slices_share_the_free_memory_and_leave_some(free, a_slice):
    slices = slices_that_fit(free, a_slice)
    assert 1 <= slices <= GPU_SLICES
    assert slices == 1 or slices * a_slice <= 0.5 * free
    assert slices == GPU_SLICES or (slices + 1) * a_slice > 0.5 * free
