"""Work for the runners' tests, importable in other processes."""

import os
import signal
import time
from pathlib import Path

from needle_backend.core.errors import InputError


def square(number: int) -> int:
    """Return the square; refuse 3, and die of 5."""
    if number == 3:
        raise InputError("3 is no good.")
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def process_and_threads(_: int) -> tuple[int, str]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def note_and_square(note: tuple[Path, int]) -> int:
    """Leave this process's id in a folder, take a moment, and return the square."""
    folder, number = note
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(0.3)
    return number * number
