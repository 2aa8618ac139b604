"""Needles as a table for spreadsheets and planning systems."""

from __future__ import annotations

import csv
from pathlib import Path

from needle_backend.core.files import written_whole
from needle_backend.core.needles import LocateResult, Needle

COLUMNS = (
    "id",
    *(f"{end}_{axis}_lps_mm" for end in ("tip", "handle") for axis in "xyz"),
    "length_mm",
    "score",
    "confidence",
    "doubts",
)


def write_csv(path: Path, result: LocateResult) -> None:
    """Write one row a needle, with the columns of :data:`COLUMNS`; doubts are joined by "; ".

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
        table.writerows(_row(needle) for needle in result.needles)


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
