"""Needles as tables for spreadsheets and planning systems."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from needle_backend.core.comparison import Compared, Comparison, Others
from needle_backend.core.files import written_whole
from needle_backend.core.needles import LocateResult, Needle
from needle_backend.core.review_log import ReviewedNeedle

COLUMNS = (
    "id",
    *(f"{end}_{axis}_lps_mm" for end in ("tip", "handle") for axis in "xyz"),
    "length_mm",
    "score",
    "confidence",
    "doubts",
)

REVIEW_COLUMNS = (
    *COLUMNS,
    *(f"{end}_{axis}_ras_mm" for end in ("tip", "handle") for axis in "xyz"),
    "state",
    "origin",
    "history",
)

PLAN_COLUMNS = ("planned_id", "plan_tip_mm", "plan_deeper_mm", "plan_aside_mm", "plan_angle_deg")
REFERENCE_COLUMNS = (
    "reference_id",
    "reference_tip_mm",
    "reference_handle_mm",
    "reference_angle_deg",
)
CHANGE_COLUMNS = ("change", "tip_moved_mm", "handle_moved_mm", "moved_deeper_mm")


def write_csv(path: Path, result: LocateResult) -> None:
    """Write one row a needle, with the columns of :data:`COLUMNS`; doubts are joined by "; ".

    Raises
    ------
    InputError
        When the place is not writable.
    """
    _write_table(path, COLUMNS, (_row(needle) for needle in result.needles))


def write_review_csv(
    path: Path, needles: Sequence[ReviewedNeedle], comparison: Comparison | None = None
) -> None:
    """Write one row a needle, with the columns of :data:`REVIEW_COLUMNS`.

    Rejected needles are there too: their state says so. The history tells who did what and when,
    oldest first, joined by "; ". A comparison of these needles adds columns for all that they were
    held against; those of needles without a counterpart stay empty.

    Raises
    ------
    InputError
        When the place is not writable.
    """
    if comparison is None:
        _write_table(path, REVIEW_COLUMNS, (_review_row(reviewed) for reviewed in needles))
        return
    others = comparison.others
    rows = (
        [*_review_row(reviewed), *_compared_row(compared, others)]
        for reviewed, compared in zip(needles, comparison.needles, strict=True)
    )
    _write_table(path, (*REVIEW_COLUMNS, *_compared_columns(others)), rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def _row(needle: Needle) -> list[str]:
    confidence = "" if needle.confidence is None else f"{needle.confidence:.3f}"
    lengths_mm = (*needle.tip_lps, *needle.handle_lps, needle.length_mm)
    return [
        needle.id,
        *(f"{value:.3f}" for value in lengths_mm),
        f"{needle.score:.4g}",
        confidence,
        "; ".join(needle.doubts),
    ]


def _review_row(reviewed: ReviewedNeedle) -> list[str]:
    needle, log = reviewed.needle, reviewed.log
    ends_ras = [(-x, -y, z) for x, y, z in (needle.tip_lps, needle.handle_lps)]
    return [
        *_row(needle),
        *(f"{value:.3f}" for end in ends_ras for value in end),
        str(log.state),
        str(log.origin),
        log.in_words(),
    ]


def _compared_columns(others: Others) -> tuple[str, ...]:
    return (
        *(PLAN_COLUMNS if others.plan else ()),
        *(REFERENCE_COLUMNS if others.reference else ()),
        *(CHANGE_COLUMNS if others.before else ()),
    )


def _compared_row(compared: Compared, others: Others) -> list[str]:
    row: list[str] = []
    if others.plan:
        d = compared.deviation
        row += _cells(
            PLAN_COLUMNS,
            d and (d.planned_id, d.tip_mm, d.deeper_mm, d.sideways_mm, d.angle_deg),
        )
    if others.reference:
        e = compared.error
        row += _cells(REFERENCE_COLUMNS, e and (e.reference_id, e.tip_mm, e.handle_mm, e.angle_deg))
    if others.before:
        c = compared.change
        row += _cells(
            CHANGE_COLUMNS,
            c and (str(c.kind), c.tip_moved_mm, c.handle_moved_mm, c.deeper_mm),
        )
    return row


def _cells(columns: Sequence[str], values: tuple[str | float, ...] | None) -> list[str]:
    """Return a word and figures, as many empty cells where there are none."""
    if values is None:
        return [""] * len(columns)
    word, *figures = values
    return [word, *(f"{figure:.3f}" for figure in figures)]
