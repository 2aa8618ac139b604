"""Find the tip in every frame of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from needle_backend.us.frames import Frame, FrameSource
from needle_backend.us.sector import Sector
from needle_backend.us.stream import ImageStream
from needle_backend.us.tips import DETECTED, LOST, FrameAnswer, Tip
from needle_backend.us.track import Tracker


class Detector(Protocol):
    """What finds the tip in a stream's next grey uint8 frame [row, column]."""

    def detect(self, image: np.ndarray, time_s: float) -> Tip | None:
        """Return the tip in pixels of the image, None when there is none."""


def find_tips(
    source: FrameSource | ImageStream,
    sector: Sector,
    detector: Detector,
    tracker: Tracker | None = None,
) -> Iterator[tuple[Frame, FrameAnswer]]:
    """Look for the tip in the imaging region of each frame.

    Parameters
    ----------
    source, sector
        The recording or live stream, and where its image is.
    detector
        Looks at each frame by itself.
    tracker
        Joins what was detected from frame to frame; without one every detection is an answer.

    Yields
    ------
    tuple
        The frame and its answer, in pixels of the frame.

    Raises
    ------
    InputError
        When a frame cannot be read.
    """
    x0, y0 = sector.rect[:2]
    for frame in source:
        tip = detector.detect(sector.crop(frame.image), frame.time_s)
        if tip is not None:
            tip = replace(tip, x=tip.x + x0, y=tip.y + y0)
        if tracker is not None:
            yield frame, tracker.follow(frame.index, frame.time_s, tip)
        else:
            state = LOST if tip is None else DETECTED
            yield frame, FrameAnswer(frame.index, frame.time_s, state, tip)
