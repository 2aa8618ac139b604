"""What is said about a needle's tip: one box, and one answer a frame."""

from __future__ import annotations

from dataclasses import dataclass

DETECTED, PREDICTED, LOST = "detected", "predicted", "lost"


@dataclass(frozen=True)
class Tip:
    """A box around a needle's tip, in source pixels (x right, y down, pixel centres at integers).

    Attributes
    ----------
    x, y
        The box's centre, which is the tip.
    width, height
        Of the box.
    confidence
        0..1.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float


@dataclass(frozen=True)
class FrameAnswer:
    """What is known of the tip in one frame.

    Attributes
    ----------
    frame
        The frame's number, from 0.
    time_s
        Its time.
    state
        "detected", "predicted" (from the frames before) or "lost".
    tip
        None when lost.
    """

    frame: int
    time_s: float
    state: str
    tip: Tip | None
