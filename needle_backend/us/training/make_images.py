"""Turn recordings and labelled images into a folder to train on: grey, cropped, with their origin.

The folder appears whole or not at all::

    DIR/images/000_NAME_00005.png   frame 5 of the first recording
        manifest.json               where each image comes from
        subset_2500/                so many of the images, taken at even intervals
        annotations.json            COCO, of labelled images
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import check_writable
from needle_backend.core.progress import Progress, no_progress
from needle_backend.us.frames import FrameSource, open_frames
from needle_backend.us.sector import (
    Rect,
    Sector,
    colour_warning,
    given_sector,
    sector_in,
    sector_of,
)
from needle_backend.us.training.coco_files import IMAGES, LabelledImage, checked_box, write_coco
from needle_backend.us.training.label_formats import has_labels, read_labels

MANIFEST = "manifest.json"

_LOOKED_AT = 8


@dataclass(frozen=True)
class MadeImages:
    """What became of one input.

    Attributes
    ----------
    source
        The input.
    images
        How many images came of it.
    regions
        The rectangle that was kept of a recording, or of the labelled images of each size.
    boxes
        How many tips are labelled; None where it is not a labelled set.
    warnings
        Sentences about what to look at.
    """

    source: Path
    images: int
    regions: tuple[Rect, ...]
    boxes: int | None = None
    warnings: tuple[str, ...] = ()


def make_images(
    inputs: Sequence[Path],
    output: Path,
    every: int,
    crop: Rect | None = None,
    subsets: Sequence[int] = (),
    progress: Progress = no_progress,
) -> tuple[MadeImages, ...]:
    """Write the images of recordings, or of labelled sets.

    Parameters
    ----------
    inputs
        Recordings (a single image counts as one), or folders of labelled images.
    output
        A new or empty folder.
    every
        Of a recording each so-manieth frame is taken; of labelled images all.
    crop
        The imaging region; found in each recording, or in labelled images of one size, when not
        given.
    subsets
        Sizes of the subsets.
    progress
        Called with the stage "images" after each input.

    Raises
    ------
    InputError
        When an input or a label cannot be used, inputs with labels and without are mixed, or a
        subset is larger than the whole.
    """
    labelled = [path for path in inputs if has_labels(path)]
    if labelled and len(labelled) < len(inputs):
        others = next(path for path in inputs if path not in labelled)
        raise InputError(
            f"{labelled[0]} has labels and {others} has none; make a folder of each kind."
        )
    with _whole_folder(output) as folder:
        if labelled:
            made, rows = _labelled_images(labelled, folder, crop, progress)
        else:
            made, rows = _frames(inputs, folder, every, crop, progress)
        content = {
            "every": None if labelled else every,
            "images": rows,
            "subsets": {str(size): _subset(rows, size, folder) for size in subsets},
        }
        (folder / MANIFEST).write_text(json.dumps(content) + "\n", encoding="utf-8")
    return tuple(made)


@contextmanager
def _whole_folder(output: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``output`` when the block succeeds."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} is there already; name a new folder.")
    check_writable(output / MANIFEST)
    unfinished = output.absolute().with_name(f".part-{os.getpid()}-{output.name}")
    try:
        (unfinished / IMAGES).mkdir(parents=True)
        yield unfinished
        if output.exists():
            output.rmdir()
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _frames(
    inputs: Sequence[Path], folder: Path, every: int, crop: Rect | None, progress: Progress
) -> tuple[list[MadeImages], list[dict[str, Any]]]:
    made, rows = [], []
    for number, path in enumerate(inputs):
        source = open_frames(path)
        sector = sector_of(source, crop)
        before = len(rows)
        for frame in source:
            if frame.index % every:
                continue
            name = f"{number:03d}_{_plain(path)}_{frame.index:05d}.png"
            _write(folder / IMAGES / name, sector.crop(frame.image))
            rows.append(
                {
                    "file": name,
                    "source": str(path),
                    "frame": frame.index,
                    "time_s": None if source.fps is None else round(frame.time_s, 4),
                    "region": list(sector.rect),
                }
            )
        warning = colour_warning(source, sector)
        warnings = () if warning is None else (warning,)
        made.append(MadeImages(path, len(rows) - before, (sector.rect,), None, warnings))
        progress("images", (number + 1) / len(inputs))
    return made, rows


def _labelled_images(
    inputs: Sequence[Path], folder: Path, crop: Rect | None, progress: Progress
) -> tuple[list[MadeImages], list[dict[str, Any]]]:
    made, rows = [], []
    images: list[LabelledImage] = []
    for number, path in enumerate(inputs):
        labelled = read_labels(path).images
        region_of = _regions(labelled, crop)
        coloured = 0
        for index, image in enumerate(labelled):
            source = open_frames(image.path)
            sector = given_sector(source.name, source.size, region_of[source.size])
            coloured += colour_warning(source, sector) is not None
            name = f"{number:03d}_{_plain(image.path)}_{index:05d}.png"
            images.append(_cropped(source, image, sector, folder / IMAGES / name))
            rows.append({"file": name, **images[-1].facts})
        warning = (
            f"{coloured} of the images of {path} have colours in their imaging region; what is "
            "drawn there turns grey and teaches what no needle looks like."
        )
        boxes = sum(len(image.boxes) for image in labelled)
        regions, warnings = tuple(region_of.values()), (warning,) if coloured else ()
        made.append(MadeImages(path, len(labelled), regions, boxes, warnings))
        progress("images", (number + 1) / len(inputs))
    write_coco(folder, images, {"description": "needle tips in ultrasound"})
    return made, rows


def _regions(images: Sequence[LabelledImage], crop: Rect | None) -> dict[tuple[int, int], Rect]:
    """Return the region of the images of each size; one that was found holds all their tips.

    Images of one size are mostly of one recording, and stay a recording when all are cut alike.
    """
    of_size: dict[tuple[int, int], list[LabelledImage]] = {}
    for image in images:
        of_size.setdefault((image.width, image.height), []).append(image)
    if crop is not None:
        return dict.fromkeys(of_size, crop)
    regions = {}
    for size, alike in of_size.items():
        step = max(1, len(alike) // _LOOKED_AT)
        looked_at = [frame.image for image in alike[::step] for frame in open_frames(image.path)]
        sector = sector_in(looked_at, str(alike[0].path))
        regions[size] = _grown(sector.rect, np.concatenate([image.boxes for image in alike]))
    return regions


def _grown(region: Rect, boxes: np.ndarray) -> Rect:
    """Return the region, grown where a labelled tip would lie outside."""
    if len(boxes) == 0:
        return region
    low = np.floor(boxes[:, :2].min(axis=0)).astype(int)
    high = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(axis=0)).astype(int)
    x0, y0, x1, y1 = region
    return min(x0, int(low[0])), min(y0, int(low[1])), max(x1, int(high[0])), max(y1, int(high[1]))


def _cropped(
    source: FrameSource, image: LabelledImage, sector: Sector, path: Path
) -> LabelledImage:
    """Write the region of an image, and return it with its boxes moved along."""
    x0, y0, x1, y1 = sector.rect
    (frame,) = source
    moved = image.boxes - np.array([x0, y0, 0, 0])
    for number, box in enumerate(moved, start=1):
        checked_box(box, x1 - x0, y1 - y0, f"{image.path}, box {number} within --crop")
    _write(path, sector.crop(frame.image))
    facts = {"source": str(image.path), "region": [x0, y0, x1, y1]}
    return LabelledImage(path, x1 - x0, y1 - y0, moved, facts)


def _subset(rows: Sequence[dict[str, Any]], size: int, folder: Path) -> str:
    """Make a folder of so many images, at even intervals; return its name."""
    if size > len(rows):
        raise InputError(
            f"A subset of {size} images cannot be taken of {len(rows)}; give more recordings or "
            "a smaller --every."
        )
    subset = folder / f"subset_{size}"
    subset.mkdir()
    for index in range(size):
        name = rows[index * len(rows) // size]["file"]
        try:
            os.link(folder / IMAGES / name, subset / name)
        except OSError:  # not every file system has hard links
            shutil.copyfile(folder / IMAGES / name, subset / name)
    return subset.name


def _write(path: Path, image: np.ndarray) -> None:
    # Not imwrite, which cannot write to folders with letters beyond ASCII on Windows.
    cv2.imencode(".png", image)[1].tofile(path)


def _plain(path: Path) -> str:
    """Return a name without what file systems or shells stumble over."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", path.resolve().stem).strip("_") or "recording"
