"""What the last stage of TipDet learns from: the candidates of frames, and their keyframes.

The streams no longer change by then, so what they see is computed once and kept on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from needle_backend.us.candidates import MOST_CANDIDATES, Candidates, candidates_of
from needle_backend.us.flow import MOTION_S
from needle_backend.us.keyframes import (
    MARGIN_CELLS,
    MOST_KEYFRAMES,
    KeyframeMemory,
    view_at,
    windows,
    with_margin,
)
from needle_backend.us.network import STRIDES
from needle_backend.us.tipdet_network import VIEW_CHANNELS, TwoStream
from needle_backend.us.training.motion_set import MotionSet
from needle_backend.us.training.simota import pairwise_iou
from needle_backend.us.training.train_two_stream import MotionPart, frames_of, sights

RIGHT_OVERLAP = 0.3
"""A candidate is right when it overlaps the tip's box by so much (IoU)."""

NO_KEYFRAME = -1


@dataclass(frozen=True)
class Moment:
    """One frame of a :class:`RescoringSet`.

    Attributes
    ----------
    view
        Which of the views is its own.
    candidates
        Its candidates.
    right
        (m,) whether each is at a tip.
    keyframes, ages_s
        Which of the views its keyframes are, newest first, and how long ago each was.
    tips
        (n, 4) centre x, centre y, width, height.
    """

    view: int
    candidates: Candidates
    right: np.ndarray
    keyframes: tuple[int, ...]
    ages_s: tuple[float, ...]
    tips: np.ndarray


@dataclass(frozen=True)
class RescoringSet:
    """Frames of sequences as two streams see them.

    Attributes
    ----------
    views
        float16 (frames, rows + 8, columns + 8, VIEW_CHANNELS), mapped from disk.
    moments
        All frames.
    side_px
        Of the squares.
    """

    views: np.ndarray
    moments: tuple[Moment, ...]
    side_px: int


def see_sequences(network: TwoStream, parts: Sequence[MotionPart], path: Path) -> RescoringSet:
    """Show sequences to a network in evaluation mode; the views are written to ``path``."""
    side = parts[0][0].images.squares().shape[-1]
    cells = side // STRIDES[0] + 2 * MARGIN_CELLS
    count = sum(len(frames_of(images, used)) for images, used in parts)
    shape = (count, cells, cells, VIEW_CHANNELS)
    views = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    moments: list[Moment] = []
    for images, used in parts:
        for number in used:
            moments += _moments(network, images, images.sequences[number], views, len(moments))
    views.flush()
    return RescoringSet(views, tuple(moments), side)


def _moments(
    network: TwoStream, images: MotionSet, frames: Sequence[int], views: np.ndarray, first: int
) -> Iterator[Moment]:
    """Yield a sequence's frames, which lie :data:`MOTION_S` apart."""
    memory = KeyframeMemory()
    step = 0
    for sight, chosen in sights(network, images, frames):
        seen = with_margin(sight.view).cpu().numpy()
        moving = torch.sigmoid(sight.moving).tolist()
        for row, candidates in enumerate(candidates_of(sight.maps)):
            views[first + step] = seen[row]
            tips = images.images.boxes[chosen[row]]
            time_s = step * MOTION_S
            yield Moment(
                first + step,
                candidates,
                _is_right(candidates, tips),
                tuple(first + int(place) for place in memory.views),
                memory.ages_s(time_s),
                tips,
            )
            memory.offer(time_s, moving[row], torch.tensor(step))
            step += 1


def _is_right(candidates: Candidates, tips: np.ndarray) -> np.ndarray:
    if not len(tips):
        return np.zeros(len(candidates.boxes), bool)
    boxes = candidates.boxes.cpu()[None]
    overlap = pairwise_iou(boxes, torch.from_numpy(tips).float()[None])[0]
    return (overlap.amax(dim=1) >= RIGHT_OVERLAP).numpy()


class Moments(torch.utils.data.Dataset):
    """Frames with a full number of candidates, as arrays; keyframes are forgotten at random.

    Parameters
    ----------
    seen
        The frames.
    forgotten_share
        Share of the keyframes that are left out.
    """

    def __init__(self, seen: RescoringSet, forgotten_share: float = 0.0, seed: int = 0) -> None:
        self._seen = seen
        self._usable = [
            moment for moment in seen.moments if len(moment.candidates.boxes) == MOST_CANDIDATES
        ]
        self._forgotten_share = forgotten_share
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        moment = self._usable[index]
        cells = moment.candidates.cells
        ages_s = torch.full((MOST_KEYFRAMES,), float(NO_KEYFRAME))
        kept = self._rng.random(MOST_KEYFRAMES) >= self._forgotten_share
        for place, age in enumerate(moment.ages_s):
            ages_s[place] = age if kept[place] else NO_KEYFRAME
        shown = [*moment.keyframes, *[moment.view] * (MOST_KEYFRAMES - len(moment.keyframes))]
        views = torch.from_numpy(self._seen.views[[moment.view, *shown]])
        return {
            "numbers": moment.candidates.numbers,
            "here": view_at(views[:1], cells)[:, 0].float(),
            "around": windows(views[1:], cells).float(),
            "ages_s": ages_s,
            "right": torch.from_numpy(moment.right).float(),
        }
