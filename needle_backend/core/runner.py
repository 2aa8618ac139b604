"""Run one function on many items: in this process, in several, or on a Dask cluster.

An item that fails, or takes its process down with it, never stops the others. What is run must be
importable by name, and items and results must be picklable, wherever that is not this process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from needle_backend.core.errors import BackendError, InputError


@dataclass(frozen=True)
class Outcome:
    """What became of one item: its result, or the exception that says why there is none."""

    item: Any
    result: Any = None
    error: Exception | None = None

    def value(self) -> Any:
        """Return the result, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        return self.result


Work = Callable[[Any], Any]
Runner = Callable[[Work, Sequence[Any]], Iterator[Outcome]]
"""Called as ``runner(work, items)``; yields one outcome an item, each as soon as it is known."""

DASK_ANSWERS_WITHIN_S = 10.0


def choose_runner(workers: int, dask_address: str | None = None) -> Runner:
    """Return what runs on the cluster at an address, else in so many processes of this machine."""
    if dask_address is not None:
        return partial(run_on_dask, address=dask_address)
    return run_here if workers <= 1 else partial(run_in_processes, workers=workers)


def run_here(work: Work, items: Sequence[Any]) -> Iterator[Outcome]:
    """Do one item after the other in this process, each when it is asked for."""
    for item in items:
        try:
            yield Outcome(item, work(item))
        except Exception as error:
            yield Outcome(item, error=error)


def run_in_processes(work: Work, items: Sequence[Any], workers: int) -> Iterator[Outcome]:
    """Do several items at once, each in a process of its own that goes on to the next.

    The cores are shared out among the processes. A process that dies is replaced.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    free: SimpleQueue[_Seat] = SimpleQueue()
    with ExitStack() as closing:
        for _ in range(workers):
            seat = _Seat(threads)
            closing.callback(seat.close)
            free.put(seat)
        clerks = closing.enter_context(ThreadPoolExecutor(workers))
        waiting = {clerks.submit(_at_free_seat, free, work, item): item for item in items}
        try:
            for future in as_completed(waiting):
                yield _outcome(waiting[future], future)
        finally:
            for future in waiting:
                future.cancel()


class _Seat:
    """A process that does one item after the other; replaced when it dies."""

    def __init__(self, threads: int) -> None:
        self._open = partial(
            ProcessPoolExecutor,
            max_workers=1,
            # A fork of a process with threads, as torch has them, may hang.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_use_threads,
            initargs=(threads,),
        )
        self._pool = self._open()

    def do(self, work: Work, item: Any) -> Any:
        try:
            return self._pool.submit(work, item).result()
        except BrokenProcessPool as error:
            self._pool.shutdown()
            self._pool = self._open()
            raise BackendError("The process that worked on it died.") from error

    def close(self) -> None:
        self._pool.shutdown()


def _at_free_seat(free: SimpleQueue[_Seat], work: Work, item: Any) -> Any:
    seat = free.get()
    try:
        return seat.do(work, item)
    finally:
        free.put(seat)


def _use_threads(threads: int) -> None:
    # Before torch is imported; it and its libraries read this once.
    os.environ["OMP_NUM_THREADS"] = str(threads)


def run_on_dask(work: Work, items: Sequence[Any], address: str) -> Iterator[Outcome]:
    """Do the items on a Dask cluster, whose workers must see the same files under the same paths.

    An item whose worker dies is done again by another; one that costs several workers fails.

    Raises
    ------
    InputError
        When Dask is not installed, or no scheduler answers at the address.
    """
    try:
        from distributed import Client
        from distributed import as_completed as as_dask_completes
    except ImportError as error:
        raise InputError(
            "Dask is not installed; run pip install distributed, or leave out --dask."
        ) from error
    try:
        client = Client(address, timeout=DASK_ANSWERS_WITHIN_S, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise InputError(
            f"No Dask scheduler answers at {address}; start one (dask scheduler), or correct the "
            "address."
        ) from error
    with client:
        futures = client.map(work, items, pure=False)
        waiting = dict(zip(futures, items, strict=True))
        for future in as_dask_completes(futures, loop=client.loop):
            yield _outcome(waiting.pop(future), future)


def _outcome(item: Any, future: Future[Any]) -> Outcome:
    error = future.exception()
    if error is None:
        return Outcome(item, future.result())
    if not isinstance(error, Exception):  # an interrupt is nobody's failure
        raise error
    return Outcome(item, error=error)
