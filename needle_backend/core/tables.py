"""Needles as tables for spreadsheets and planning systems."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

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


def write_csv(path: Path, result: LocateResult) -> None:
    """Write one row a needle, with the columns of :data:`COLUMNS`; doubts are joined by "; ".

    Raises
    ------
    InputError
        When the place is not writable.
    """
    _write_table(path, COLUMNS, (_row(needle) for needle in result.needles))


def write_review_csv(path: Path, needles: Sequence[ReviewedNeedle]) -> None:
    """Write one row a needle, with the columns of :data:`REVIEW_COLUMNS`.

    Rejected needles are there too: their state says so. The history tells who did what and when,
    oldest first, joined by "; ".

    Raises
    ------
    InputError
        When the place is not writable.
    """
    _write_table(path, REVIEW_COLUMNS, (_review_row(reviewed) for reviewed in needles))


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
