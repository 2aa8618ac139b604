"""Work on many pairs part by part: a part stays in a core's cache, and two run side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

AT_ONCE = 128
"""Pairs a part on a CPU."""
WORKERS = 2
"""Threads. Networks run side by side in them; what indexes arrays hardly does. Two, because
more would take the cores from whoever shows the picture."""


def in_parts(work: Callable[[slice], Result], count: int, device: str) -> list[Result]:
    """Call ``work`` with slices that make up ``range(count)``; the results in their order.

    A GPU gets all at once; so does an empty range, which is one (empty) part.
    """
    at_once = AT_ONCE if device == "cpu" else max(count, 1)
    parts = [slice(first, first + at_once) for first in range(0, max(count, 1), at_once)]
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(WORKERS) as workers:
        return list(workers.map(work, parts))
