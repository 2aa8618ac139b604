"""Work for the server without torch and weights, which does what each test asks for.

What to do is told by the volume's source: "sleep", "hang", "die", "full", "chatter" ...
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions, LocateResult, Needle, NeedleCount
from needle_backend.core.progress import CancelToken, Progress
from needle_backend.core.volume import Volume
from needle_backend.us.tips import TrackOptions


class FakeWork:
    """One needle between the first and the last voxel of every volume."""

    def info(self) -> dict[str, Any]:
        return {"device": "fake"}

    def load(self, weights: str | None, device: str) -> dict[str, Any]:
        return {"device": device, "weights": [weights]}

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        for stage in ("read", "tophat", "network", "match"):
            progress(stage, 0.0)
            if volume.source.endswith(f" in {stage}"):
                misbehave(volume.source.split()[0], cancel)
        last = np.array(volume.array.shape[::-1]) - 1
        needle = Needle(
            tuple(volume.ijk_to_lps(np.zeros(3)).tolist()),
            tuple(volume.ijk_to_lps(last).tolist()),
            score=float(volume.array.mean()),
            id="N01",
        )
        count = NeedleCount(options.count or 1, options.count is None)
        return LocateResult((needle,), count, device="fake", warnings=volume.warnings)

    def score(self, volume: Volume, lines_lps: np.ndarray) -> np.ndarray:
        return np.linalg.norm(lines_lps[:, 0] - lines_lps[:, 1], axis=1) + volume.array.mean()

    def fit(
        self,
        volume: Volume,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        """Move a line by as many mm as there are other needles; by none with other weights."""
        return line_lps + (len(others_lps) if options.pair_weights is None else 0)

    def find_handle(
        self,
        volume: Volume,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        """Take the first handle known, or one straight down as far as the options say."""
        down = tip_lps + [0.0, options.length_mm, 0.0]
        return np.stack([tip_lps, handles_lps[0] if len(handles_lps) else down])

    def track(self, frame: np.ndarray, time_s: float, options: TrackOptions) -> dict[str, Any]:
        match int(frame[0, 0]):
            case 99:
                os.kill(os.getpid(), signal.SIGKILL)
            case 50:
                time.sleep(0.1)
            case 51:
                time.sleep(1000)
            case 52:
                raise OutOfMemoryError("CUDA out of memory")
            case 53:
                raise InputError("A frame is a grey image of 8 bits; convert it first.")
        return {"value": int(frame[0, 0]), "threshold": options.threshold}


def misbehave(how: str, cancel: CancelToken) -> None:
    match how:
        case "sleep":  # a long job that looks at its flag
            while True:
                cancel.raise_if_cancelled()
                time.sleep(0.01)
        case "hang":  # one that does not
            time.sleep(1000)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":  # not even a pulse any more
            os.kill(os.getpid(), signal.SIGSTOP)
        case "full":
            raise MemoryError
        case "full-gpu":
            raise OutOfMemoryError("CUDA out of memory")
        case "refuse":
            raise InputError("The volume has one slice; load the whole CT.")
        case "fail":
            raise ZeroDivisionError("a mistake of ours")
        case "chatter":
            print("a library greets the world", flush=True)
            os.write(1, b"and so does its C code\n")


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


class SlowToLoad(FakeWork):
    """Takes as long to load as models on a slow disk; its listener stays awake."""

    def __init__(self) -> None:
        time.sleep(1000)


class DiesLoading(FakeWork):
    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class CannotLoad(FakeWork):
    def __init__(self) -> None:
        raise ImportError("No module named 'torch'")


class EndsLoading(FakeWork):
    """Ends the process with a word on stderr."""

    def __init__(self) -> None:
        sys.exit("the driver is too old")
