"""Training images of the tip detector: labelled sets cached as squares, and small changes to them.

A labelled set is a COCO folder (:mod:`.coco_files`) or a folder of simulated sequences
(``sequence_000/frames``, ``sequence_000/truth.json``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.settings import Range, draw
from needle_backend.us.frames import image_files
from needle_backend.us.preprocess import letterbox
from needle_backend.us.training.coco_files import LabelledImage, coco_file, read_coco
from needle_backend.us.training.evaluate_files import TRUTH, read_sequence_truth
from needle_backend.us.training.marks import with_marks
from needle_backend.us.training.patches import read_grey

MOST_TIPS = 16
"""Room for tips in one image."""

_LEAST_BLUR_PX = 0.2
_SHARPEN_PX = 1.2
_JPEG_QUALITY = (12, 70)


@dataclass(frozen=True)
class AugmentSettings:
    """What is changed at random in every image; the defaults are the published ones.

    Attributes
    ----------
    brightness
        Factor of the grey values.
    gamma
        Exponent of the grey values in 0..1.
    mirror_share
        Share of images whose left and right are swapped.
    zoom
        Factor of the size.
    zooms_boxes
        Whether a tip's box grows with the picture; it does not where all boxes are of one size by
        agreement, whatever the needle's.
    aspect
        Factor of the width alone; needles become steeper or flatter.
    shift_share
        The image is shifted by up to this share of its side.
    crop_px
        Only a window of this side is learnt from; 0 takes the whole square. A network of
        convolutions learns nearly the same from it at a fraction of the cost.
    tip_share
        Share of the windows that lie about a tip, where there is one.
    noise
        Largest standard deviation of noise added, in grey values.
    marks_share
        Share of images into which rulers and letters are drawn, as scanners do.
    depth_gain
        Largest change of the brightness at any depth, as a share of it.
    despeckle_share
        Share of images whose speckle is taken out while edges stay, as scanners do.
    sharpen
        How much of what a blur takes away is added.
    blur_px
        Standard deviation of a blur, as of an enlarged or smoothed recording.
    jpeg_share
        Share of images that go through strong compression, as those of videos do.
    """

    brightness: Range = (0.9, 1.1)
    gamma: Range = (1.0, 1.0)
    mirror_share: float = 0.0
    zoom: Range = (1.0, 1.0)
    zooms_boxes: bool = True
    aspect: Range = (1.0, 1.0)
    shift_share: float = 0.0
    crop_px: int = 0
    tip_share: float = 0.75
    noise: float = 0.0
    marks_share: float = 0.0
    depth_gain: float = 0.0
    despeckle_share: float = 0.0
    sharpen: Range = (0.0, 0.0)
    blur_px: Range = (0.0, 0.0)
    jpeg_share: float = 0.0


@dataclass(frozen=True)
class DataSource:
    """A labelled set, or so many of its images drawn by a seed.

    Attributes
    ----------
    folder
        COCO, or simulated sequences.
    most
        None takes all images.
    seed
        The same images for the same seed; more of them include the fewer.
    """

    folder: Path
    most: int | None = None
    seed: int = 0

    def chosen(self, count: int) -> list[int]:
        """Return which of ``count`` images are meant, in their order."""
        order = np.random.default_rng(self.seed).permutation(count)
        return sorted(order[: self.most].tolist())


@dataclass(frozen=True)
class ImageSet:
    """Squares cached on disk and their tips.

    Attributes
    ----------
    name
        Of the folder.
    squares_path
        A file of uint8 (images, side, side).
    boxes
        For each image (n, 4): centre x, centre y, width, height in square pixels.
    """

    name: str
    squares_path: Path
    boxes: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def squares(self) -> np.ndarray:
        """Return the squares, mapped from disk."""
        return np.load(self.squares_path, mmap_mode="r")


def load_set(folder: Path, size_px: int, cache: Path, doubtful: bool = False) -> ImageSet:
    """Read a labelled set and cache its images as squares; a second call reads the cache.

    Parameters
    ----------
    doubtful
        Whether frames of sequences are kept whose tip only some would see, see :mod:`.truth`.

    Raises
    ------
    InputError
        When the folder holds no labelled images, or one of them cannot be used.
    """
    images = read_labelled(folder, doubtful)
    crowded = next((image for image in images if len(image.boxes) > MOST_TIPS), None)
    if crowded is not None:
        raise InputError(
            f"{crowded.path} has {len(crowded.boxes)} tips; at most {MOST_TIPS} can be learnt."
        )
    squares_path = cache / f"{folder.name}_{size_px}_{_mark(images)}.npy"
    if not squares_path.exists():
        _cache_squares(images, size_px, squares_path)
    return ImageSet(folder.name, squares_path, tuple(_in_square(one, size_px) for one in images))


def read_labelled(folder: Path, doubtful: bool = False) -> tuple[LabelledImage, ...]:
    """Return the images of a COCO folder or of a folder of sequences, doubtful ones if wanted.

    Raises
    ------
    InputError
        When it is neither, or something in it makes no sense.
    """
    if coco_file(folder) is not None:
        return read_coco(folder, needs_boxes=False).images
    truths = sorted(folder.glob(f"*/{TRUTH}"))
    if not truths:
        raise InputError(
            f"{folder} holds no labelled images; give a folder with annotations.json (COCO), or "
            f"one of sequences (sequence_000/{TRUTH})."
        )
    return tuple(image for truth in truths for image in _frames_of(truth, doubtful))


def _frames_of(truth: Path, doubtful: bool) -> list[LabelledImage]:
    frames = read_sequence_truth(truth)
    files = image_files(truth.parent / "frames")
    if len(files) != len(frames):
        raise InputError(
            f"{truth} is about {len(frames)} frames, but {len(files)} lie beside it; copy the "
            "sequence again."
        )
    return [
        LabelledImage(file, *frame.size, frame.boxes)
        for file, frame in zip(files, frames, strict=True)
        if doubtful or not frame.doubtful
    ]


def _mark(images: Sequence[LabelledImage]) -> str:
    """Return a text that changes with the files a set consists of."""
    listing = [[str(image.path.resolve()), image.path.stat().st_mtime_ns] for image in images]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:12]


def _cache_squares(images: Sequence[LabelledImage], size_px: int, path: Path) -> None:
    with written_whole(path) as temporary:
        shape = (len(images), size_px, size_px)
        squares = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for index, image in enumerate(images):
            squares[index], _ = letterbox(read_grey(image.path), size_px)
        squares.flush()


def _in_square(image: LabelledImage, size_px: int) -> np.ndarray:
    """Return an image's boxes as centre x, y, width, height in the square."""
    boxes = np.array(image.boxes, float).reshape(-1, 4)
    centred = np.column_stack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]])
    # The scale depends on the size only; no pixel is looked at.
    _, frame = letterbox(np.zeros((image.height, image.width), np.uint8), size_px)
    return frame.to_square(centred)


def split_images(chosen: Sequence[int], validation_share: float) -> tuple[list[int], list[int]]:
    """Return which images train and which, the last ones, validate."""
    held = max(1, round(validation_share * len(chosen)))
    return list(chosen[:-held]), list(chosen[-held:])


class TipImages:
    """Images of several sets, changed a little; item (epoch, i) depends on the seed and both only.

    Parameters
    ----------
    sets
        The sets, and of each which images are used.
    """

    def __init__(
        self,
        sets: Sequence[tuple[ImageSet, Sequence[int]]],
        augment: AugmentSettings,
        seed: int,
    ) -> None:
        self._squares = [images.squares() for images, _ in sets]
        self._boxes = [images.boxes for images, _ in sets]
        self._places = [(number, i) for number, (_, used) in enumerate(sets) for i in used]
        self._augment = augment
        self._seed = seed

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, np.ndarray]:
        number, index = self._places[item[1]]
        rng = np.random.default_rng([self._seed, *item])
        square, boxes = changed(
            self._squares[number][index], self._boxes[number][index], self._augment, rng
        )
        return {"square": square, **as_target(boxes), "set": np.int64(number)}


def as_target(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Return boxes (n, 4) as ``tips``, as long for every image of a batch, and their ``count``."""
    tips = np.zeros((MOST_TIPS, 4), np.float32)
    tips[: len(boxes)] = boxes
    return {"tips": tips, "count": np.int64(len(boxes))}


class EpochOrder:
    """A sampler: every epoch goes through the images, or some of them, in an order of its own."""

    def __init__(self, images: int, length: int | None, seed: int) -> None:
        self._images = images
        self._length = min(length or images, images)
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._length

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the training loop calls this."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self._epoch
        order = np.random.default_rng([self._seed, epoch]).permutation(self._images)
        yield from ((epoch, int(index)) for index in order[: self._length])


def changed(
    square: np.ndarray, boxes: np.ndarray, augment: AugmentSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a changed copy of a square and the boxes (n, 4) whose tip is still in it."""
    side = augment.crop_px or len(square)
    warp = draw_warp(len(square), boxes, augment, rng)
    if len(square) != side or not np.array_equal(warp, _SAME):
        square = cv2.warpAffine(square, warp, (side, side), flags=cv2.INTER_LINEAR)
        centres = boxes[:, :2] @ warp[:, :2].T + warp[:, 2]
        grown = abs(warp[1, 1]) if augment.zooms_boxes else 1.0
        boxes = np.column_stack([centres, boxes[:, 2:] * grown])
    inside = ((boxes[:, :2] > 0) & (boxes[:, :2] < side - 1)).all(axis=1)
    square, boxes = _as_scanned(square, augment, rng), boxes[inside]
    square = regreyed(square, augment, rng)
    if rng.random() < augment.marks_share:
        square = with_marks(square, boxes, rng)
    return _as_recorded(square, augment, rng), boxes


_SAME = np.eye(2, 3)


def draw_warp(
    side: int, boxes: np.ndarray, augment: AugmentSettings, rng: np.random.Generator
) -> np.ndarray:
    """Draw an affine map: mirror, zoom, aspect, and what comes to the middle of the window."""
    zoom = draw(rng, augment.zoom)
    mirror = -1.0 if rng.random() < augment.mirror_share else 1.0
    linear = np.diag([mirror * zoom * draw(rng, augment.aspect), zoom])
    window = augment.crop_px or side
    place = np.full(2, (side - 1) / 2) + rng.uniform(-1, 1, 2) * augment.shift_share * side
    if augment.crop_px:
        place = rng.uniform(0.1, 0.9, 2) * side
        if len(boxes) and rng.random() < augment.tip_share:
            tip = boxes[int(rng.integers(len(boxes))), :2]
            place = tip + rng.uniform(-0.45, 0.45, 2) * window / zoom
    return np.column_stack([linear, np.full(2, (window - 1) / 2) - linear @ place])


def regreyed(square: np.ndarray, augment: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """Change brightness and gamma by a table, and add noise."""
    grey = np.arange(256) / 255
    table = 255 * draw(rng, augment.brightness) * grey ** draw(rng, augment.gamma)
    square = cv2.LUT(square, np.clip(np.round(table), 0, 255).astype(np.uint8))
    if augment.noise > 0:
        noise = rng.normal(0, rng.uniform(0, augment.noise), square.shape)
        square = np.clip(square + noise * (square > 0), 0, 255).astype(np.uint8)
    return square


def _as_scanned(
    square: np.ndarray, augment: AugmentSettings, rng: np.random.Generator
) -> np.ndarray:
    """Change the gain with depth, take speckle out and sharpen, as a scanner's settings do."""
    if augment.depth_gain > 0:
        knots = 1 + augment.depth_gain * rng.uniform(-1, 1, 4)
        gain = np.interp(np.linspace(0, 3, len(square)), np.arange(4), knots)[:, None]
        square = np.clip(square * gain, 0, 255).astype(np.uint8)
    if rng.random() < augment.despeckle_share:
        square = cv2.medianBlur(square, 3)
    if augment.sharpen[1] > 0:
        amount = draw(rng, augment.sharpen)
        blurred = cv2.GaussianBlur(square, (0, 0), _SHARPEN_PX)
        square = cv2.addWeighted(square, 1 + amount, blurred, -amount, 0)
    return square


def _as_recorded(
    square: np.ndarray, augment: AugmentSettings, rng: np.random.Generator
) -> np.ndarray:
    """Blur and compress as recording does."""
    if augment.blur_px[1] > 0:
        sigma = draw(rng, augment.blur_px)
        square = cv2.GaussianBlur(square, (0, 0), sigma) if sigma > _LEAST_BLUR_PX else square
    if rng.random() < augment.jpeg_share:
        quality = int(rng.integers(*_JPEG_QUALITY))
        _, packed = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, quality])
        square = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return square
