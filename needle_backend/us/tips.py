"""What is said about a needle's tip: one box, and one answer a frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

DETECTED, PREDICTED, LOST = "detected", "predicted", "lost"
YOLOT, TIPDET = "yolot", "tipdet"
"""Models: one looks at each frame by itself, one at how the needle moves, too."""

AS_YOLOT, AS_TWO_STREAMS, AS_TIPDET = "YOLOT", "two streams", "TipDet"
"""Ways in which a frame may be answered; TipDet needs to have seen some."""


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
class TrackOptions:
    """How tips are looked for; None takes what the weights' card or the product says.

    Attributes
    ----------
    weights
        Name or path.
    device
        "auto", "cpu", "cuda" or "cuda:N".
    threshold
        Least confidence that counts as a tip.
    model
        :data:`YOLOT` or :data:`TIPDET`.
    faint_share
        Tips down to so much of the threshold are answered, too, so that one that is followed
        already is not lost.
    """

    weights: str | None = None
    device: str = "auto"
    threshold: float | None = None
    model: str = YOLOT
    faint_share: float = 1.0


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

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FrameAnswer:
        """Inverse of :meth:`to_dict`; what else is in ``data`` is left out.

        Raises
        ------
        KeyError, TypeError, ValueError
            When something is missing or no number.
        """
        tip = data["tip"]
        return cls(
            int(data["frame"]),
            float(data["time_s"]),
            str(data["state"]),
            None if tip is None else Tip(**{name: float(value) for name, value in tip.items()}),
        )
