"""How a needle moves against its surroundings: optical flow over a tenth of a second, as an image.

TipDet (Wang et al. 2024) shows its second stream Farneback's flow in colours, hue for direction and
saturation for speed. Here its two components keep their signs instead, so that no direction is
next to its opposite, a mirrored picture is a changed sign, and still is zero. The slow motion of
probe and tissue is taken off, and a third channel says where it became brighter: a thin needle
pushed along its own axis moves hardly any edge but that of its tip.
"""

from __future__ import annotations

import cv2
import numpy as np

MOTION_S = 0.1
"""About so much time lies between the two frames."""

LEAST_MOTION_S = 0.07
"""A frame that is younger shows too little motion."""

STILL = 128
"""Value of every channel where nothing moves."""

LEVELS_A_PX = 16.0
"""Grey levels a pixel of flow; 8 px and more are one."""

_SURROUNDINGS_SHARE = 0.25
"""Side of what counts as a place's surroundings, of the frame's."""

_DARK = 6


def motion_image(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return what moved between two squares, uint8 [row, column, 3], 128 where nothing did.

    Parameters
    ----------
    before, now
        Grey, uint8 [row, column], about :data:`MOTION_S` apart.

    Returns
    -------
    numpy.ndarray
        Flow to the right and downwards, against the surroundings, :data:`LEVELS_A_PX` a pixel; and
        by how many grey levels it became brighter, the motion of the surroundings undone.
    """
    small_before, small_now = (_half(square) for square in (before, now))
    # Half the size is a quarter of the time, and its windows still hold a needle.
    flow = 2 * cv2.calcOpticalFlowFarneback(small_before, small_now, None, 0.5, 3, 9, 3, 5, 1.2, 0)
    around = _of_surroundings(flow, small_now)
    against = _enlarged(LEVELS_A_PX * (flow - around), now.shape)
    brighter = now.astype(np.float32) - _moved(before, _enlarged(around, now.shape))
    return np.clip(np.dstack([against, brighter]) + STILL, 0, 255).astype(np.uint8)


def _half(square: np.ndarray) -> np.ndarray:
    return cv2.resize(square, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _enlarged(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(field, shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _of_surroundings(flow: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Average the flow over each place's surroundings, what is dark left out."""
    side = int(_SURROUNDINGS_SHARE * max(now.shape)) | 1
    lit = (now > _DARK).astype(np.float32)
    share = cv2.blur(lit, (side, side))
    average = cv2.blur(flow * lit[..., None], (side, side))
    return average / np.maximum(share, 1e-3)[..., None]


def _moved(before: np.ndarray, flow: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(before.shape, dtype=np.float32)
    return cv2.remap(before, columns - flow[..., 0], rows - flow[..., 1], cv2.INTER_LINEAR)
