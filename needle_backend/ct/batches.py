"""How many slices are worked on at once: one on a CPU, as many as fit on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

CPU_SLICES = 1
"""One slice keeps all cores busy, and a request to cancel is heard after each."""
GPU_SLICES = 16
"""More at once is no faster."""
SHARE_OF_FREE_MEMORY = 0.5
"""The rest is for what else happens on the GPU, and for memory in pieces."""

Done = TypeVar("Done")


def in_batches(
    work: Callable[[range], Done],
    count: int,
    device: torch.device,
    warn: Callable[[str], object],
) -> Iterator[tuple[range, Done]]:
    """Work on slices 0 .. count - 1, as many at once as the device's memory holds.

    The first slice goes alone: what it took tells how many fit. Where that was too many after all
    (another program may have taken memory since), fewer are tried.

    Parameters
    ----------
    work
        Does consecutive slices.
    warn
        Told in a sentence when memory was short.

    Raises
    ------
    torch.cuda.OutOfMemoryError
        When not even one slice fits.
    """
    first, size = 0, 1
    planned = size
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    while first < count:
        numbers = range(first, min(first + size, count))
        try:
            done = work(numbers)
        except torch.cuda.OutOfMemoryError:
            if len(numbers) == 1:
                raise
            size = len(numbers) // 2
            continue
        yield numbers, done
        if first == 0:
            planned = size = slices_at_once(device)
        first = numbers.stop
    if size < planned:
        warn(
            f"The memory of {device} was short: {size} slices at once were looked at, not {planned}"
            ", which takes longer."
        )


def slices_at_once(device: torch.device) -> int:
    """Return how many slices fit, after one of them was worked on alone."""
    if device.type != "cuda":
        return CPU_SLICES
    in_use = torch.cuda.memory_allocated(device)
    bytes_a_slice = torch.cuda.max_memory_allocated(device) - in_use
    unused_cache = torch.cuda.memory_reserved(device) - in_use
    free, _ = torch.cuda.mem_get_info(device)
    return slices_that_fit(free + unused_cache, bytes_a_slice)


def slices_that_fit(free_bytes: int, bytes_a_slice: int) -> int:
    """Return how many slices share the free memory: 1 to :data:`GPU_SLICES`."""
    fitting = int(SHARE_OF_FREE_MEMORY * free_bytes / max(bytes_a_slice, 1))
    return max(1, min(fitting, GPU_SLICES))
