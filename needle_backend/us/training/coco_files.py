"""Labelled image sets as COCO: read, checked, written.

A set is a folder::

    DIR/images/*.png        the images
        annotations.json    COCO: one category, bbox as x0, y0, width, height

Boxes are in pixels of their image; an image without a box shows no tip. What is wrong is said with
the file and the row: annotations and images are counted from 1, in the order of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole

ANNOTATIONS = "annotations.json"
IMAGES = "images"
CATEGORY = "tip"

OUTSIDE_PX = 1.0
"""A box may reach this far beyond its image, as rounding makes it; it is cut off there."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class LabelledImage:
    """An image file and the tips in it.

    Attributes
    ----------
    path
        The image file.
    width, height
        Its size in pixels.
    boxes
        (n, 4): x0, y0, width, height of the box around each tip, whose centre is the tip.
    facts
        What else is known of it and worth keeping (its origin, its seed).
    """

    path: Path
    width: int
    height: int
    boxes: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledSet:
    """Images with their tips, in the order of their file."""

    images: tuple[LabelledImage, ...]

    @property
    def box_count(self) -> int:
        """How many tips all images together show."""
        return sum(len(image.boxes) for image in self.images)


def read_coco(folder: Path, needs_boxes: bool = True) -> LabelledSet:
    """Read a labelled set and check every row of it.

    Parameters
    ----------
    folder
        Holds ``annotations.json`` (or one file in ``annotations/``) and the images, in ``images/``
        or beside it.
    needs_boxes
        Refuse a set without a single box; sets of needle-free images are read without this.

    Raises
    ------
    InputError
        When a file is missing or damaged, or a row contradicts itself, its image or another row.
    """
    path = coco_file(folder)
    if path is None:
        raise InputError(f"{folder} holds no labels; expected {ANNOTATIONS} in it.")
    content = _read_json(path)
    image_of_id = _read_images(content["images"], folder, path)
    boxes_of_id = _read_boxes(content, image_of_id, path)
    images = tuple(
        LabelledImage(
            image.path, image.width, image.height, as_boxes(boxes_of_id[number]), image.facts
        )
        for number, image in image_of_id.items()
    )
    labelled = LabelledSet(images)
    if needs_boxes:
        check_has_boxes(labelled, path)
    return labelled


def write_coco(
    folder: Path, images: Sequence[LabelledImage], facts: Mapping[str, Any] | None = None
) -> Path:
    """Write ``annotations.json`` of images that lie in ``folder`` already.

    Parameters
    ----------
    folder
        The set's folder; images lie in ``folder/images`` or elsewhere below ``folder``.
    images
        In the order in which they are to be listed.
    facts
        What is to be known of the whole set (COCO's ``info``): origin, settings, seed.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    InputError
        When a box lies outside its image, or the place is not writable.
    """
    path = folder / ANNOTATIONS
    rows: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        rows.append({"id": number, **_image_row(image, folder)})
        for box in image.boxes:
            x0, y0, width, height = checked_box(
                box, image.width, image.height, f"{path}: a box of {image.path.name}"
            )
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [round(value, 3) for value in (x0, y0, width, height)],
                    "area": round(width * height, 3),
                    "iscrowd": 0,
                }
            )
    content = {
        "info": dict(facts or {}),
        "images": rows,
        "annotations": annotations,
        "categories": [{"id": 1, "name": CATEGORY}],
    }
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return path


def coco_file(folder: Path) -> Path | None:
    """Return the COCO file of a folder, None when it has none."""
    if (folder / ANNOTATIONS).is_file():
        return folder / ANNOTATIONS
    others = sorted((folder / "annotations").glob("*.json"))
    return others[0] if len(others) == 1 else None


def check_has_boxes(labelled: LabelledSet, source: Path) -> None:
    """Refuse a set without a single box."""
    if labelled.box_count == 0:
        raise InputError(
            f"{source} marks no tip in any of its {len(labelled.images)} images; label some first."
        )


def checked_box(
    box: Sequence[float] | np.ndarray, width: int, height: int, place: str
) -> tuple[float, float, float, float]:
    """Return a box that lies inside its image, cut off where rounding carried it outside.

    Parameters
    ----------
    box
        x0, y0, width, height in pixels.
    width, height
        Size of the image.
    place
        File and row, for the sentence that says what is wrong.

    Raises
    ------
    InputError
        When it is no box, has no area, or does not lie inside the image.
    """
    values = [float(v) if _is_number(v) else math.nan for v in box] if _is_list(box) else []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise InputError(f"{place} is no box of four numbers x0, y0, width, height; label it anew.")
    x0, y0, box_width, box_height = values
    if box_width <= 0 or box_height <= 0:
        raise InputError(
            f"{place} is {box_width:g} pixels wide and {box_height:g} high; draw it around the tip."
        )
    x1, y1 = x0 + box_width, y0 + box_height
    if min(x0, y0, width - x1, height - y1) < -OUTSIDE_PX:
        raise InputError(
            f"{place} reaches from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}), outside its image of "
            f"{width} x {height} pixels; draw it anew."
        )
    x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if x1 <= x0 or y1 <= y0:
        raise InputError(f"{place} lies on the very edge of its image; draw it around the tip.")
    return x0, y0, x1 - x0, y1 - y0


def as_boxes(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Return boxes as an array (n, 4), also where there are none."""
    return np.array(rows, float).reshape(-1, 4)


def image_size(path: Path) -> tuple[int, int]:
    """Return an image file's width and height, reading no more than its head.

    Raises
    ------
    InputError
        When it is missing, empty or no image.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist, but labels name it; put it there or unlabel it.")
    with path.open("rb") as file:
        head = file.read(24)
    if head.startswith(_PNG):
        # Sets of tens of thousands are PNG, and ITK takes a millisecond for each.
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path} is damaged or no image; copy or export it again.") from error
    width, height = reader.GetSize()[:2]
    return int(width), int(height)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: list(content[name]) for name in ("images", "annotations", "categories")}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path} is no COCO file; expected {{"images": [...], "annotations": [...], '
            '"categories": [{"id": 1, "name": "tip"}]}.'
        ) from error
    if not parts["images"]:
        raise InputError(f"{path} lists no images; nothing can be learnt from it.")
    return parts


def _read_images(rows: Sequence[Any], folder: Path, path: Path) -> dict[int, LabelledImage]:
    """Return the images by id, in the order of the file; their boxes are still empty."""
    images: dict[int, LabelledImage] = {}
    row_of_file: dict[Path, int] = {}
    for number, row in enumerate(rows, start=1):
        place = f"{path}, image {number}"
        identity = _field(row, "id", _is_whole, place)
        file = _image_path(folder, _field(row, "file_name", _is_name, place))
        if identity in images:
            raise InputError(f"{place} has the id {identity} of an earlier one; number them anew.")
        if file in row_of_file:
            raise InputError(
                f"{place} is {file.name}, as is image {row_of_file[file]}; list it but once."
            )
        row_of_file[file] = number
        stated = tuple(_field(row, name, _is_whole, place) for name in ("width", "height"))
        width, height = image_size(file)
        if stated != (width, height):
            raise InputError(
                f"{place} is said to have {stated[0]} x {stated[1]} pixels, but {file} has "
                f"{width} x {height}; label the image itself."
            )
        facts = {k: v for k, v in row.items() if k not in ("id", "file_name", "width", "height")}
        images[identity] = LabelledImage(file, width, height, as_boxes([]), facts)
    return images


def _image_path(folder: Path, name: str) -> Path:
    """Return where an image lies: in ``images/``, or as its name says."""
    inside = folder / IMAGES / name
    return inside if inside.is_file() else folder / name


def _read_boxes(
    content: dict[str, Any], image_of_id: dict[int, LabelledImage], path: Path
) -> dict[int, list[tuple[float, ...]]]:
    """Return the boxes of each image, by its id."""
    wanted = _tip_category(content["categories"], path)
    boxes: dict[int, list[tuple[float, ...]]] = {identity: [] for identity in image_of_id}
    row_of_id: dict[int, int] = {}
    for number, row in enumerate(content["annotations"], start=1):
        place = f"{path}, annotation {number}"
        identity = _field(row, "id", _is_whole, place)
        if identity in row_of_id:
            raise InputError(
                f"{place} has the id {identity} of annotation {row_of_id[identity]}; number them "
                "anew."
            )
        row_of_id[identity] = number
        if _field(row, "category_id", _is_whole, place) != wanted:
            continue
        image_id = _field(row, "image_id", _is_whole, place)
        if image_id not in image_of_id:
            raise InputError(f"{place} belongs to image id {image_id}, which is not listed.")
        image = image_of_id[image_id]
        box = checked_box(
            row.get("bbox", ()), image.width, image.height, f"{place} ({image.path.name})"
        )
        if box in boxes[image_id]:
            raise InputError(f"{place} is a box that {image.path.name} has already; remove one.")
        boxes[image_id].append(box)
    return boxes


def _tip_category(rows: Sequence[Any], path: Path) -> int:
    """Return the id of the category that means tips: the only one, or the one of that name."""
    named = {
        _field(row, "id", _is_whole, f"{path}, category {number}"): str(row.get("name", ""))
        for number, row in enumerate(rows, start=1)
    }
    tips = [identity for identity, name in named.items() if name.lower() == CATEGORY]
    chosen = tips or list(named)
    if len(chosen) != 1:
        listing = ", ".join(named.values()) or "none"
        raise InputError(
            f'{path} has the categories {listing}; name the one that marks tips "{CATEGORY}".'
        )
    return chosen[0]


def _image_row(image: LabelledImage, folder: Path) -> dict[str, Any]:
    inside = image.path.resolve().relative_to(folder.resolve())
    name = inside.relative_to(IMAGES) if inside.parts[0] == IMAGES else inside
    row = {"file_name": name.as_posix(), "width": image.width, "height": image.height}
    return {**image.facts, **row}


def _field(row: Any, name: str, fits: Callable[[Any], bool], place: str) -> Any:
    value = row.get(name) if isinstance(row, dict) else None
    if not fits(value):
        raise InputError(f"{place} has no usable {name}; write the file anew.")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)
