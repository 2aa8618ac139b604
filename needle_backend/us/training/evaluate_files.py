"""Read true and found tips from files, so that :mod:`.evaluate` can compare them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.us.frames import image_files
from needle_backend.us.tips import FrameAnswer
from needle_backend.us.track_table import read_tips
from needle_backend.us.training.coco_files import as_boxes, checked_box, coco_file, read_coco
from needle_backend.us.training.evaluate import ComparedFrame, evaluate

TRUTH, TIPS = "truth.json", "tips.csv"


@dataclass(frozen=True)
class TrueFrame:
    """Size and true boxes (n, 4) of a frame; n = 0 where no tip is seen, or it is doubtful."""

    size: tuple[int, int]
    boxes: np.ndarray
    doubtful: bool = False


def evaluate_path(truth: Path, predicted: Path, threshold: float = 0.0) -> dict:
    """Compare the tables of `needles track` with the truth.

    Parameters
    ----------
    truth
        A folder of sequences (``sequence_000/truth.json``...), one such sequence, or a labelled set
        in COCO.
    predicted
        For a folder of sequences the folder of their tables, ``sequence_000/tips.csv`` or
        ``sequence_000.csv``; a sequence without a table counts as one in which nothing was found,
        and is listed. Else the table.
    threshold
        Rows with less confidence count as lost; AP counts them all the same.

    Raises
    ------
    InputError
        When a file cannot be read, or a table belongs to other frames than the truth.
    """
    truths = read_truths(truth)
    missing = []
    sequences = {}
    for name, frames in truths.items():
        table = _table_of(name, predicted, len(truths) == 1)
        if table is None:
            missing.append(name)
        answers = () if table is None else _matching(read_tips(table), frames, table)
        sequences[name] = compare(frames, answers)
    return {**evaluate(sequences, threshold), "missing_predictions": missing}


def compare(frames: Sequence[TrueFrame], answers: Sequence[FrameAnswer]) -> list[ComparedFrame]:
    """Put the answers to their frames; frames without one are lost, doubtful ones left out."""
    tip_of = {answer.frame: answer.tip for answer in answers}
    compared = []
    for number, frame in enumerate(frames):
        if frame.doubtful:
            continue
        tip = tip_of.get(number)
        boxes, scores = [], []
        if tip is not None:
            boxes = [(tip.x - tip.width / 2, tip.y - tip.height / 2, tip.width, tip.height)]
            scores = [tip.confidence]
        compared.append(
            ComparedFrame(frame.size, frame.boxes, as_boxes(boxes), np.array(scores, float))
        )
    return compared


def read_truths(path: Path) -> dict[str, list[TrueFrame]]:
    """Read the true tips of every sequence, by its name.

    Raises
    ------
    InputError
        When there is no truth, or it makes no sense.
    """
    if path.name == TRUTH or (path / TRUTH).is_file():
        file = path if path.name == TRUTH else path / TRUTH
        return {file.resolve().parent.name: read_sequence_truth(file)}
    if not path.is_dir():
        raise InputError(f"{path} is no folder; give sequences with {TRUTH}, or a set in COCO.")
    if coco_file(path) is not None:
        return {path.resolve().name: _read_set_truth(path)}
    files = sorted(path.glob(f"*/{TRUTH}"))
    if not files:
        raise InputError(
            f"{path} holds no truth; expected sequence_000/{TRUTH} and so on, or annotations.json."
        )
    return {file.parent.name: read_sequence_truth(file) for file in files}


def read_sequence_truth(path: Path) -> list[TrueFrame]:
    """Read the truth.json of a sequence.

    Raises
    ------
    InputError
        When it is no such file, or a frame's box makes no sense; the frame is named.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        columns, rows = (int(value) for value in content["size"])
        frames = list(content["frames"])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path} is no truth of a sequence; expected {{"size": [columns, rows], "frames": '
            '[{"visible": true, "tip": [x, y], "box": [x0, y0, width, height]}, ...]}.'
        ) from error
    return [
        TrueFrame(
            (columns, rows),
            as_boxes(_true_boxes(frame, columns, rows, path, number)),
            doubtful=bool(frame.get("doubtful", False)),
        )
        for number, frame in enumerate(frames)
    ]


def _true_boxes(
    frame: Any, columns: int, rows: int, path: Path, number: int
) -> list[tuple[float, ...]]:
    place = f"{path}, frame {number}"
    visible = frame.get("visible") if isinstance(frame, dict) else None
    if not isinstance(visible, bool):
        raise InputError(f'{place} does not say whether the tip is "visible".')
    if not visible:
        return []
    box = frame.get("box")
    return [box if _has_tip_inside(box, columns, rows) else checked_box(box, columns, rows, place)]


def _has_tip_inside(box: Any, columns: int, rows: int) -> bool:
    """Tell whether a box is four numbers about a tip in the picture; it may reach beyond that."""
    try:
        x0, y0, width, height = (float(value) for value in box)
    except (TypeError, ValueError):
        return False
    in_picture = 0 <= x0 + width / 2 < columns and 0 <= y0 + height / 2 < rows
    return in_picture and 0 < width < columns and 0 < height < rows


def _read_set_truth(folder: Path) -> list[TrueFrame]:
    """Return the truth of a labelled set, one frame an image in the order `needles track` reads."""
    labelled = {image.path.resolve(): image for image in read_coco(folder, False).images}
    folders = {path.parent for path in labelled}
    if len(folders) != 1:
        raise InputError(f"{folder} has images in several folders; `needles track` reads but one.")
    files = [path.resolve() for path in image_files(folders.pop())]
    unlabelled = [path.name for path in files if path not in labelled]
    if unlabelled:
        raise InputError(
            f"{folder} does not list {unlabelled[0]}; label every image of its folder."
        )
    images = [labelled[path] for path in files]
    return [TrueFrame((image.width, image.height), image.boxes) for image in images]


def _table_of(name: str, predicted: Path, is_only_one: bool) -> Path | None:
    """Return the table of a sequence, None when there is none."""
    if predicted.is_file():
        if not is_only_one:
            raise InputError(
                f"{predicted} is one table, but the truth has several sequences; give a folder."
            )
        return predicted
    if not predicted.is_dir():
        raise InputError(f"{predicted} does not exist; give what `needles track` wrote.")
    places = [predicted / name / TIPS, predicted / f"{name}.csv"]
    if is_only_one:
        places.append(predicted / TIPS)
    return next((place for place in places if place.is_file()), None)


def _matching(
    answers: tuple[FrameAnswer, ...], frames: Sequence[TrueFrame], table: Path
) -> tuple[FrameAnswer, ...]:
    """Refuse a table of other frames than the truth's."""
    if [answer.frame for answer in answers] != list(range(len(frames))):
        raise InputError(
            f"{table} has {len(answers)} rows, but the truth has {len(frames)} frames; track the "
            "very frames that the truth belongs to."
        )
    return answers
