"""Read labelled images as people have them: COCO, YOLO's text files, Pascal VOC's XML.

A folder in one of these forms::

    annotations.json, images/*.png      COCO (or one file in annotations/)
    images/*.png, labels/*.txt          YOLO; the .txt may lie beside its image
    *.xml beside images, or in folders  Pascal VOC (Annotations/*.xml, JPEGImages/*.jpg)

A YOLO row is "class x y width height", the box's centre and size as shares of the image. An image
without a .txt shows no tip. Where rows have several classes, ``classes.txt`` names them, one a
line, and "tip" is the one that counts; in VOC the <name> does.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

from needle_backend.core.errors import InputError
from needle_backend.us.frames import IMAGE_ENDINGS, image_files, natural_order
from needle_backend.us.training.coco_files import (
    CATEGORY,
    IMAGES,
    LabelledImage,
    LabelledSet,
    as_boxes,
    check_has_boxes,
    checked_box,
    coco_file,
    image_size,
    read_coco,
)

CLASSES = "classes.txt"

_LABELS = "labels"
_VOC_IMAGES = (".", IMAGES, "JPEGImages", "../images", "../JPEGImages")


def has_labels(folder: Path) -> bool:
    """Tell whether a folder holds labels in a form that :func:`read_labels` knows."""
    if not folder.is_dir():
        return False
    return coco_file(folder) is not None or bool(_voc_files(folder)) or bool(_yolo_files(folder))


def read_labels(folder: Path) -> LabelledSet:
    """Read a labelled set in any of the forms, and check every row.

    Raises
    ------
    InputError
        When there are no labels, or one of them makes no sense; file and row are named.
    """
    if coco_file(folder) is not None:
        return read_coco(folder)
    readers: tuple[tuple[list[Path], Callable[[Path, list[Path]], list[LabelledImage]]], ...] = (
        (_voc_files(folder), _read_voc),
        (_yolo_files(folder), _read_yolo),
    )
    for files, read in readers:
        if files:
            labelled = LabelledSet(tuple(read(folder, files)))
            check_has_boxes(labelled, folder)
            return labelled
    raise InputError(
        f"{folder} holds no labels; expected annotations.json (COCO), labels/*.txt (YOLO) or "
        "*.xml (Pascal VOC)."
    )


def _voc_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.xml"), *folder.glob("*/*.xml")], key=natural_order)


def _yolo_files(folder: Path) -> list[Path]:
    """Return the label files: all of ``labels/``, and those named as an image beside them."""
    beside: list[Path] = []
    for place in (folder, folder / IMAGES):
        if place.is_dir():
            stems = _image_stems(place)
            beside += [path for path in place.glob("*.txt") if path.stem in stems]
    return sorted([*folder.glob(f"{_LABELS}/*.txt"), *beside], key=natural_order)


def _image_stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS}


def _read_yolo(folder: Path, files: list[Path]) -> list[LabelledImage]:
    inside = folder / IMAGES
    images = image_files(inside if inside.is_dir() else folder)
    file_of = {path.stem: path for path in files if path.name != CLASSES}
    without_image = sorted(set(file_of) - {path.stem for path in images})
    if without_image:
        raise InputError(f"{file_of[without_image[0]]} has no image of that name; put it there.")
    rows = {stem: _yolo_rows(path) for stem, path in file_of.items()}
    wanted = _tip_class(folder, {row[0] for of_file in rows.values() for row in of_file})
    labelled = []
    for path in images:
        width, height = image_size(path)
        boxes = [
            _yolo_box(row, (width, height), f"{file_of[path.stem]}, line {number}")
            for number, row in enumerate(rows.get(path.stem, []), start=1)
            if row[0] == wanted
        ]
        labelled.append(LabelledImage(path, width, height, as_boxes(boxes)))
    return labelled


def _yolo_rows(path: Path) -> list[tuple[int, ...]]:
    """Return class, x, y, width and height of each line."""
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        parts = line.split()
        try:
            row = int(parts[0]), *(float(part) for part in parts[1:5])
        except (ValueError, IndexError):
            row = ()
        if len(row) != 5:
            raise InputError(
                f'{path}, line {number} is "{line[:60]}", not "class x y width height".'
            )
        rows.append(row)
    return rows


def _yolo_box(row: tuple, size: tuple[int, int], place: str) -> tuple[float, ...]:
    _, x, y, width, height = row
    if max(x, y, width, height) > 2:
        raise InputError(f"{place} is in pixels; YOLO's numbers are shares of the image, 0 to 1.")
    columns, rows = size
    box = ((x - width / 2) * columns, (y - height / 2) * rows, width * columns, height * rows)
    return checked_box(box, columns, rows, place)


def _tip_class(folder: Path, used: set[int]) -> int | None:
    """Return the class that means tips: the only one used, or the one of that name."""
    if len(used) <= 1:
        return next(iter(used), None)
    places = [folder / CLASSES, folder / _LABELS / CLASSES]
    names = next((_text(path).split("\n") for path in places if path.is_file()), [])
    for number, name in enumerate(names):
        if name.strip().lower() == CATEGORY:
            return number
    raise InputError(
        f"{folder} uses the classes {', '.join(map(str, sorted(used)))}; name them in {CLASSES}, "
        f'one a line, and the one that marks tips "{CATEGORY}".'
    )


def _read_voc(folder: Path, files: list[Path]) -> list[LabelledImage]:
    trees = [(path, _parsed(path)) for path in files]
    names = {
        (element.findtext("name") or "").strip().lower()
        for _, root in trees
        for element in root.iter("object")
    }
    if len(names) > 1 and CATEGORY not in names:
        raise InputError(
            f'{folder} marks {", ".join(sorted(names))}; call what marks tips "{CATEGORY}".'
        )
    return [_voc_image(path, root, CATEGORY if len(names) > 1 else None) for path, root in trees]


def _parsed(path: Path) -> ET.Element:
    try:
        root = ET.fromstring(_text(path))
    except ET.ParseError as error:
        raise InputError(f"{path} is no XML ({error}); save the labels again.") from error
    if root.tag != "annotation":
        raise InputError(f"{path} is no Pascal VOC file; expected <annotation> with <object>.")
    return root


def _voc_image(path: Path, root: ET.Element, wanted: str | None) -> LabelledImage:
    name = (root.findtext("filename") or "").strip()
    if not name:
        raise InputError(f"{path} does not name its image in <filename>; save the labels again.")
    places = [path.parent / place / name for place in _VOC_IMAGES]
    image = next((place for place in places if place.is_file()), places[0])
    width, height = image_size(image)
    boxes = []
    for number, element in enumerate(root.iter("object"), start=1):
        place = f"{path}, object {number}"
        if wanted is None or (element.findtext("name") or "").strip().lower() == wanted:
            boxes.append(checked_box(_voc_box(element, place), width, height, place))
    return LabelledImage(image.resolve(), width, height, as_boxes(boxes))


def _voc_box(element: ET.Element, place: str) -> Sequence[float]:
    try:
        x0, y0, x1, y1 = (
            float(element.findtext(f"bndbox/{name}") or "")
            for name in ("xmin", "ymin", "xmax", "ymax")
        )
    except ValueError as error:
        raise InputError(
            f"{place} has no <bndbox> of four numbers xmin, ymin, xmax, ymax; label it anew."
        ) from error
    return x0, y0, x1 - x0, y1 - y0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text; save the labels again.") from error
