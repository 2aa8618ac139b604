"""Find the tip in every frame of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from needle_backend.us.frames import Frame, FrameSource
from needle_backend.us.sector import Sector
from needle_backend.us.tips import DETECTED, LOST, FrameAnswer, Tip


class Detector(Protocol):
    """What finds the tip in one grey uint8 frame [row, column]."""

    def detect(self, image: np.ndarray) -> Tip | None:
        """Return the tip in pixels of the image, None when there is none."""


def find_tips(
    source: FrameSource, sector: Sector, detector: Detector
) -> Iterator[tuple[Frame, FrameAnswer]]:
    """Look for the tip in the imaging region of each frame.

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
        tip = detector.detect(sector.crop(frame.image))
        if tip is not None:
            tip = replace(tip, x=tip.x + x0, y=tip.y + y0)
        state = LOST if tip is None else DETECTED
        yield frame, FrameAnswer(frame.index, frame.time_s, state, tip)
