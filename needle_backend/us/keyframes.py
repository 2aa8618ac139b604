"""The last moments at which a needle moved: what a tip is judged by once it stands still.

Adaptive keyframes of TipDet (Wang et al. 2024): a frame is one when the network says that a needle
moves in it; the four newest are kept. Neighbouring frames of a stream show nearly the same, so that
keyframes also lie some time apart.
"""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F

from needle_backend.us.flow import LEAST_MOTION_S

MOST_KEYFRAMES = 4
MOVING_PROBABILITY = 0.5
NEIGHBOURHOOD_CELLS = 9
"""Side of the window of a keyframe that a candidate looks into, in cells of stride 8."""

MARGIN_CELLS = NEIGHBOURHOOD_CELLS // 2


class KeyframeMemory:
    """The newest keyframes of one stream."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, torch.Tensor]] = deque(maxlen=MOST_KEYFRAMES)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def views(self) -> tuple[torch.Tensor, ...]:
        """What was seen in each, newest first."""
        return tuple(view for _, view in reversed(self._kept))

    def ages_s(self, time_s: float) -> tuple[float, ...]:
        """Return how long before ``time_s`` each was, newest first."""
        return tuple(time_s - kept_s for kept_s, _ in reversed(self._kept))

    def offer(self, time_s: float, moving: float, view: torch.Tensor) -> None:
        """Keep what was seen in a frame when a needle moves in it with the probability given."""
        if moving <= MOVING_PROBABILITY:
            return
        if not self._kept or time_s - self._kept[-1][0] >= LEAST_MOTION_S:
            self._kept.append((time_s, view))


def with_margin(view: torch.Tensor) -> torch.Tensor:
    """Put zeros around views, (n, channels, h, w) -> (n, h + 8, w + 8, channels)."""
    return F.pad(view, (MARGIN_CELLS,) * 4).permute(0, 2, 3, 1).contiguous()


def view_at(views: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return what views with a margin (n, h + 8, w + 8, channels) show at cells (m, 2).

    Returns
    -------
    torch.Tensor
        (m, n, channels).
    """
    columns, rows = (cells + MARGIN_CELLS).unbind(-1)
    return views[:, rows, columns].transpose(0, 1)


def windows(views: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Cut the neighbourhoods of cells (m, 2: column, row) out of views that have a margin.

    Returns
    -------
    torch.Tensor
        (m, n, 81, channels).
    """
    step = torch.arange(NEIGHBOURHOOD_CELLS, device=cells.device)
    rows = cells[:, 1, None, None] + step[:, None]
    columns = cells[:, 0, None, None] + step
    return views[:, rows, columns].flatten(2, 3).transpose(0, 1)
