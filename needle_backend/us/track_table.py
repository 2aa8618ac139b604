"""tips.csv: one row a frame, with the tip in source pixels or the word that it was lost."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.us.tips import DETECTED, LOST, PREDICTED, FrameAnswer, Tip

COLUMNS = ("frame", "time_s", "x", "y", "width", "height", "confidence", "state")


def write_tips(path: Path, answers: Iterable[FrameAnswer]) -> None:
    """Write one row a frame, with the columns of :data:`COLUMNS`.

    The tip is the box's centre. Lost frames have empty x, y, width and height and a confidence
    of 0.

    Raises
    ------
    InputError
        When the place is not writable.
    """
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(map(_row, answers))


def read_tips(path: Path) -> tuple[FrameAnswer, ...]:
    """Read what :func:`write_tips` wrote, or another program wrote in its form.

    Raises
    ------
    InputError
        When it cannot be read, lacks a column or has a row that makes no sense; the row's line in
        the file is named.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path} has no column {missing[0]}; expected {','.join(COLUMNS)}."
                )
            answers: list[FrameAnswer] = []
            for row in table:
                place = f"{path}, line {table.line_num}"
                answer = _answer(row, place)
                if answers and answer.frame <= answers[-1].frame:
                    raise InputError(
                        f"{place} is frame {answer.frame} after frame {answers[-1].frame}; write "
                        "one row a frame, in their order."
                    )
                answers.append(answer)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no table of text; expected {','.join(COLUMNS)}.") from error
    return tuple(answers)


def _row(answer: FrameAnswer) -> list[str]:
    tip = answer.tip
    if tip is None:
        cells = ["", "", "", "", "0"]
    else:
        box = (tip.x, tip.y, tip.width, tip.height)
        cells = [*(f"{value:.2f}" for value in box), f"{tip.confidence:.4f}"]
    return [str(answer.frame), f"{answer.time_s:.4f}", *cells, answer.state]


def _answer(row: Mapping[str, str | None], place: str) -> FrameAnswer:
    state = row["state"]
    if state not in (DETECTED, PREDICTED, LOST):
        raise InputError(
            f"{place} has the state {state!r}; it must be {DETECTED}, {PREDICTED} or {LOST}."
        )
    frame, time_s = _number(row, "frame", place), _number(row, "time_s", place)
    if frame < 0 or frame != int(frame):
        raise InputError(f"{place} has the frame {frame:g}; frames are counted 0, 1, 2...")
    if state == LOST:
        return FrameAnswer(int(frame), time_s, state, None)
    tip = Tip(*(_number(row, name, place) for name in ("x", "y", "width", "height", "confidence")))
    if tip.width <= 0 or tip.height <= 0 or not 0 <= tip.confidence <= 1:
        raise InputError(
            f"{place} has a box of {tip.width:g} x {tip.height:g} pixels with confidence "
            f"{tip.confidence:g}; boxes have an area and confidences lie in 0..1."
        )
    return FrameAnswer(int(frame), time_s, state, tip)


def _number(row: Mapping[str, str | None], name: str, place: str) -> float:
    try:
        value = float(row[name] or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place} has {row[name]!r} for {name}, which is no number.")
    return value
