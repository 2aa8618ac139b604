"""Have a network look at many pairs, part by part."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

AT_LEAST, AT_MOST = 64, 512
"""Pairs a part on a CPU: small parts cost more for being started than for what is in them, large
ones outgrow a core's cache."""
WORKERS = 2
"""Threads, a part each. Networks run side by side in them; what indexes arrays does not. Two,
because more would take the cores from whoever shows the picture."""


def in_parts(work: Callable[[slice], Result], count: int, device: str) -> list[Result]:
    """Call ``work`` with slices that make up ``range(count)``; the results in their order.

    The parts are of one size, as many for each worker. A GPU gets all at once; so does an empty
    range, which is one (empty) part.
    """
    if device != "cpu" or count < WORKERS * AT_LEAST:
        return [work(slice(0, count))]
    rounds = -(-count // (WORKERS * AT_MOST))
    size = -(-count // (WORKERS * rounds))
    parts = [slice(first, first + size) for first in range(0, count, size)]
    with ThreadPoolExecutor(WORKERS) as workers:
        return list(workers.map(work, parts))
