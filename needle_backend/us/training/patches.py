"""Tip patches: small grey pictures cut around labelled tips, and which are held out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.us.training.coco_files import coco_file, read_coco

PATCH_PX = 64
PADDING_PX = 5
"""Both as published (Wang et al. 2025)."""

_TRUTH = "truth.json"


@dataclass(frozen=True)
class TipPatches:
    """Patches in the order in which they were read.

    Attributes
    ----------
    images
        uint8, (n, 64, 64).
    sequences
        For each the sequence it was cut from; frames of one sequence resemble each other.
    """

    images: np.ndarray
    sequences: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: Sequence[int] | np.ndarray) -> TipPatches:
        """Return some of them."""
        return TipPatches(self.images[chosen], tuple(self.sequences[i] for i in chosen))


def read_patches(folders: Sequence[Path], least_contrast: float = 0.0) -> TipPatches:
    """Cut a patch around every labelled tip of some folders.

    Parameters
    ----------
    folders
        Each a COCO set (``annotations.json``), or simulated sequences
        (``sequence_000/frames``, ``truth.json``).
    least_contrast
        Simulated tips whose truth tells a lower contrast are left out.

    Raises
    ------
    InputError
        When a folder is neither, cannot be read, or no tip is far enough from its image's edge.
    """
    images, sequences = [], []
    for folder in folders:
        for sequence, path, boxes in _labelled_frames(folder, least_contrast):
            if len(boxes) == 0:
                continue
            image = read_grey(path)
            cut = [patch for box in boxes if (patch := cut_patch(image, box)) is not None]
            images += cut
            sequences += [sequence] * len(cut)
    if not images:
        names = ", ".join(str(folder) for folder in folders)
        raise InputError(
            f"{names}: no box around a tip lies {PADDING_PX} pixels inside its image; label some."
        )
    return TipPatches(np.stack(images), tuple(sequences))


def cut_patch(image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Cut a padded box out and resize it; None where the padding leaves the image.

    Parameters
    ----------
    image
        uint8, (rows, columns).
    box
        x0, y0, width, height in pixels, whose centres lie at whole numbers.

    Returns
    -------
    numpy.ndarray or None
        uint8, (64, 64).
    """
    x0, y0, width, height = (float(value) for value in box)
    left, top = (int(np.ceil(v - PADDING_PX)) for v in (x0, y0))
    right, bottom = (int(np.floor(v + PADDING_PX)) + 1 for v in (x0 + width, y0 + height))
    rows, columns = image.shape
    if left < 0 or top < 0 or right > columns or bottom > rows:
        return None
    return cv2.resize(
        image[top:bottom, left:right], (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_LINEAR
    )


def hold_out(patches: TipPatches, share: float, seed: int) -> tuple[TipPatches, TipPatches]:
    """Divide patches into those to train on and those held out, whole sequences at a time.

    Raises
    ------
    InputError
        When they come from a single sequence.
    """
    names = sorted(set(patches.sequences))
    if len(names) < 2:
        raise InputError(
            f"All {len(patches)} patches are of the sequence {names[0]}; give at least two."
        )
    count = min(max(1, round(share * len(names))), len(names) - 1)
    held = set(np.random.default_rng(seed).permutation(names)[:count])
    is_held = np.array([name in held for name in patches.sequences])
    return patches.take(np.flatnonzero(~is_held)), patches.take(np.flatnonzero(is_held))


def joined(first: TipPatches, second: TipPatches) -> TipPatches:
    """Return the patches of both."""
    images = np.concatenate([first.images, second.images])
    return TipPatches(images, first.sequences + second.sequences)


def to_network(images: np.ndarray) -> np.ndarray:
    """Scale uint8 patches (n, 64, 64) to float32 (n, 1, 64, 64) in [-1, 1]."""
    return images[:, None].astype(np.float32) / 127.5 - 1.0


def to_grey(samples: np.ndarray) -> np.ndarray:
    """Undo :func:`to_network`, with values beyond the range cut off."""
    return np.round((np.clip(samples[:, 0], -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def read_patch_folder(folder: Path) -> np.ndarray:
    """Read a folder of patches, as `needles generate tips` writes it, in order of their names.

    Raises
    ------
    InputError
        When there are none, or one has another size.
    """
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise InputError(f"{folder} holds no *.png; make patches with needles generate tips.")
    images = [read_grey(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != (PATCH_PX, PATCH_PX):
            raise InputError(
                f"{path} has {image.shape[1]} x {image.shape[0]} pixels; patches have "
                f"{PATCH_PX} x {PATCH_PX}."
            )
    return np.stack(images)


def write_patches(images: np.ndarray, folder: Path) -> list[Path]:
    """Write ``tip_00000.png`` and on, and return the files."""
    paths = [folder / f"tip_{number:05d}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        with written_whole(path) as temporary:
            cv2.imwrite(str(temporary), image)
    return paths


def patch_sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay pictures (n, rows, columns) out in lines, framed by thin black lines."""
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    height, width = framed.shape[1:]
    lacking = -len(framed) % columns
    tiles = np.concatenate([framed, np.zeros((lacking, height, width), np.uint8)])
    grid = tiles.reshape(-1, columns, height, width).transpose(0, 2, 1, 3)
    return grid.reshape(-1, columns * width)


def _labelled_frames(folder: Path, least_contrast: float) -> Iterator[tuple[str, Path, np.ndarray]]:
    """Yield each frame's sequence, file and boxes (n, 4)."""
    if coco_file(folder) is not None:
        for image in read_coco(folder).images:
            yield f"{folder.name}/{_sequence_of(image.path)}", image.path, image.boxes
        return
    truths = sorted(folder.glob(f"*/{_TRUTH}"))
    if not truths:
        raise InputError(
            f"{folder} is neither a COCO set (annotations.json) nor simulated sequences "
            f"(sequence_000/{_TRUTH}); make it with needles dataset us or needles simulate us."
        )
    for path in truths:
        yield from _frames_of_truth(folder.name, path, least_contrast)


def _frames_of_truth(
    name: str, path: Path, least_contrast: float
) -> Iterator[tuple[str, Path, np.ndarray]]:
    sequence = path.parent
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["frames"]
        boxes = [
            np.array([row["box"]] if _stands_out(row, least_contrast) else [], float).reshape(-1, 4)
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not as needles simulate us writes it; make it again."
        ) from error
    for index, found in enumerate(boxes):
        yield f"{name}/{sequence.name}", sequence / "frames" / f"frame_{index:04d}.png", found


def _stands_out(row: dict[str, Any], least_contrast: float) -> bool:
    return bool(row["box"]) and row.get("contrast", np.inf) >= least_contrast


def _sequence_of(path: Path) -> str:
    """Images whose names differ in the last number alone are taken for one sequence."""
    return re.sub(r"[_-]?\d+$", "", path.stem)


def read_grey(path: Path) -> np.ndarray:
    """Read an image file as uint8 grey, (rows, columns).

    Raises
    ------
    InputError
        When it is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"{path} is missing or no image; copy or make it again.")
    return image
