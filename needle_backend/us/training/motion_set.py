"""Training sequences of the video tip detector: squares and their motion, cached as arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.settings import draw
from needle_backend.us.flow import MOTION_S, STILL, motion_image
from needle_backend.us.training.dataset import (
    AugmentSettings,
    ImageSet,
    as_target,
    draw_warp,
    load_set,
    regreyed,
)
from needle_backend.us.training.evaluate_files import TRUTH, read_sequence_truth

USUAL_FPS = 30.0
MOVING_PX = 2.0
"""A tip that has moved by so many pixels of the network's input moves."""


@dataclass(frozen=True)
class MotionSet:
    """Sequences taken every tenth of a second, see :data:`.flow.MOTION_S`.

    Attributes
    ----------
    images
        All frames as squares, and their tips.
    motion_path
        A file of uint8 (frames, side, side, 3): the motion of each; 128 where there is none before.
    sequences
        Of each sequence the numbers of its frames that have one before and are not doubtful, in
        order.
    moving
        (frames,) whether a visible tip has moved since the frame before.
    """

    images: ImageSet
    motion_path: Path
    sequences: tuple[tuple[int, ...], ...]
    moving: np.ndarray

    def motion(self) -> np.ndarray:
        """Return the motion images, mapped from disk."""
        return np.load(self.motion_path, mmap_mode="r")


def load_motion_set(folder: Path, size_px: int, cache: Path) -> MotionSet:
    """Read a folder of sequences; squares and motion are cached, a second call reads the cache.

    Raises
    ------
    InputError
        When the folder holds no labelled sequences, or one of them cannot be used.
    """
    images = load_set(folder, size_px, cache, doubtful=True)
    pairs, sequences, start = [], [], 0
    for truth in sorted(folder.glob(f"*/{TRUTH}")):
        frames = read_sequence_truth(truth)
        count, step = len(frames), _frames_a_tenth(truth)
        later = range(step, count, step)
        pairs.append([(start + now - step, start + now) for now in later])
        sequences.append(tuple(start + now for now in later if not frames[now].doubtful))
        start += count
    if start != len(images):
        raise InputError(
            f"{folder} is no folder of sequences; give one that `needles simulate us` made."
        )
    path = images.squares_path.with_suffix(".motion.npy")
    if not path.exists():
        _cache_motion(images, [pair for of_one in pairs for pair in of_one], path)
    moving = np.zeros(len(images), bool)
    for before, now in (pair for of_one in pairs for pair in of_one):
        moving[now] = _has_moved(images.boxes[before], images.boxes[now])
    return MotionSet(images, path, tuple(sequences), moving)


def _frames_a_tenth(truth: Path) -> int:
    """Return how many of a sequence's frames are a tenth of a second."""
    fps = float(json.loads(truth.read_text(encoding="utf-8")).get("fps") or USUAL_FPS)
    return max(1, round(MOTION_S * fps))


def _cache_motion(images: ImageSet, pairs: Sequence[tuple[int, int]], path: Path) -> None:
    squares = images.squares()
    with written_whole(path) as temporary:
        motion = np.lib.format.open_memmap(temporary, "w+", np.uint8, (*squares.shape, 3))
        motion[...] = STILL
        for before, now in pairs:
            motion[now] = motion_image(squares[before], squares[now])
        motion.flush()


def _has_moved(before: np.ndarray, now: np.ndarray) -> bool:
    if not (len(before) and len(now)):
        return False
    return bool(np.hypot(*(now[0, :2] - before[0, :2])) >= MOVING_PX)


class MovingImages:
    """Frames with their motion, changed a little alike; item (epoch, i) depends on the seed only.

    Parameters
    ----------
    sets
        The sets, and of each which frames are used.
    """

    def __init__(
        self,
        sets: Sequence[tuple[MotionSet, Sequence[int]]],
        augment: AugmentSettings,
        seed: int,
    ) -> None:
        self._sets = [one for one, _ in sets]
        self._squares = [one.images.squares() for one in self._sets]
        self._motion = [one.motion() for one in self._sets]
        self._places = [(number, i) for number, (_, used) in enumerate(sets) for i in used]
        self._augment = augment
        self._seed = seed

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, np.ndarray]:
        number, index = self._places[item[1]]
        rng = np.random.default_rng([self._seed, *item])
        boxes = self._sets[number].images.boxes[index]
        square, motion = self._squares[number][index], self._motion[number][index]
        square, motion, boxes = changed(square, motion, boxes, self._augment, rng)
        return {
            "square": square,
            "motion": motion,
            **as_target(boxes),
            "moving": np.float32(self._sets[number].moving[index] and len(boxes) > 0),
        }


def changed(
    square: np.ndarray,
    motion: np.ndarray,
    boxes: np.ndarray,
    augment: AugmentSettings,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return changed copies of a square, its motion, and the boxes whose tip is still in it."""
    side = augment.crop_px or len(square)
    warp = draw_warp(len(square), boxes, augment, rng)
    square = cv2.warpAffine(square, warp, (side, side), flags=cv2.INTER_LINEAR)
    motion = cv2.warpAffine(motion, warp, (side, side), borderValue=(STILL,) * 3)
    scale = np.array([warp[0, 0], warp[1, 1], draw(rng, augment.brightness)], np.float32)
    motion = np.clip((motion - np.float32(STILL)) * scale + STILL, 0, 255).astype(np.uint8)
    centres = boxes[:, :2] @ warp[:, :2].T + warp[:, 2]
    boxes = np.column_stack([centres, boxes[:, 2:] * abs(warp[1, 1])])
    inside = ((boxes[:, :2] > 0) & (boxes[:, :2] < side - 1)).all(axis=1)
    return regreyed(square, augment, rng), motion, boxes[inside]
