"""What is known of the tip in one frame of a stream, in pixels and in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from slicer.i18n import tr as _

from needle_backend.us.tips import FrameAnswer
from NeedleTipUSLib.stream_image import StreamImage


@dataclass(frozen=True)
class Sighting:
    """An answer with the image that it is about.

    Attributes
    ----------
    answer
        In pixels of the image, the right way up.
    image
        With the place it had when it arrived: later images may lie elsewhere.
    index_value
        Where the image is in the sequence that is replayed, None when it is live.
    """

    answer: FrameAnswer
    image: StreamImage
    index_value: str | None = None

    def tip_world(self) -> np.ndarray | None:
        """Return the tip in RAS mm in the world; None when it is lost."""
        tip = self.answer.tip
        return None if tip is None else self.image.to_world(np.array([[tip.x, tip.y]]))[0]

    def box_world(self) -> np.ndarray:
        """Return the corners (4, 3) of the box around the tip, (0, 3) when it is lost."""
        tip = self.answer.tip
        if tip is None:
            return np.empty((0, 3))
        half = np.array([tip.width, tip.height]) / 2
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        return self.image.to_world(np.array([tip.x, tip.y]) + signs * half)


def distance_text(sighting: Sighting, target_world: np.ndarray) -> str:
    """Return how far the target is from the tip: in mm, or in pixels where their size is unknown.

    In an image that is not calibrated one unit of the scene is one pixel.
    """
    tip = sighting.tip_world()
    if tip is None:
        return ""
    distance = float(np.linalg.norm(target_world - tip))
    if sighting.image.is_calibrated:
        return _("{distance:.1f} mm to the target").format(distance=distance)
    return _("{distance:.0f} px to the target").format(distance=distance)
