"""A made-up stream for tests: speckle with one bright spot that stands for the tip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import slicer
from slicer import vtkMRMLScalarVolumeNode

from needle_backend.service.job import FrameDropped, Job
from needle_backend.us.tips import DETECTED, LOST, Tip, TrackOptions

COLUMNS, ROWS = 160, 120
SPOT, THRESHOLD = 255, 0.5
PX_MM = 0.5


def example_frame(tip_xy: tuple[int, int] | None, seed: int = 0) -> np.ndarray:
    """Return uint8 [row, column] speckle, with a spot where the tip is."""
    frame = np.random.default_rng(seed).rayleigh(40, (ROWS, COLUMNS)).clip(20, 200).astype(np.uint8)
    if tip_xy is not None:
        x, y = tip_xy
        frame[y, x] = SPOT
    return frame


def add_example_stream(name: str = "Image_Probe") -> vtkMRMLScalarVolumeNode:
    """Add a calibrated volume node with one image, as a stream's first one, to the scene."""
    ijk_to_ras = np.diag([-PX_MM, -PX_MM, 1.0, 1.0])
    ijk_to_ras[:3, 3] = 40.0, 30.0, 5.0
    frame = example_frame(None)
    return slicer.util.addVolumeFromArray(frame[None], ijkToRAS=ijk_to_ras, name=name)


def send(volume_node: vtkMRMLScalarVolumeNode, frame: np.ndarray) -> None:
    """Show a new image, as a stream does."""
    slicer.util.updateVolumeFromArray(volume_node, frame[None])


class BrightestPixel:
    """Takes a pixel of :data:`SPOT` for the tip; stands in for the backend process."""

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, TrackOptions]] = []
        self._waiting: tuple[Job, np.ndarray, int, float] | None = None

    def start_track(
        self,
        frame: np.ndarray,
        number: int,
        time_s: float,
        on_done: Callable[[Job], None],
        options: TrackOptions,
    ) -> Job:
        """Note the frame; the one that waits is dropped."""
        self.asked.append((frame, options))
        job = Job(number + 1, "track", on_done=on_done)
        overtaken, self._waiting = self._waiting, (job, frame, number, time_s)
        if overtaken is not None:
            overtaken[0].finish(FrameDropped("a newer frame came"))
        return job

    def poll(self) -> None:
        """Answer."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            job, frame, number, time_s = waiting
            about = {"frame": number, "time_s": time_s, "threshold": THRESHOLD}
            how = {"answered_as": "brightness", "warnings": []}
            job.finish({**about, **how, **brightest(frame)})


def brightest(frame: np.ndarray) -> dict[str, object]:
    """Return state and tip as the backend does."""
    row, column = np.unravel_index(int(frame.argmax()), frame.shape)
    if frame[row, column] != SPOT:
        return {"state": LOST, "tip": None}
    tip = Tip(float(column), float(row), 24.0, 14.0, 0.83)
    return {"state": DETECTED, "tip": asdict(tip)}
