"""Detections on single slices as a file, detections.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds


def read_detections(path: Path) -> SliceEnds:
    """Read detections.json: a list of objects like truth.json's ``slice_ends``, with a score.

    Raises
    ------
    InputError
        When it is something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise TypeError("not a list")
        column = {
            name: np.array([float(row[name]) for row in rows])
            for name in ("column", "row", "slice", "angle_deg")
        }
        kind = np.array([TIP if row["kind"] == "tip" else HANDLE for row in rows], int)
        score = np.array([float(row.get("score", 1.0)) for row in rows])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no list of detections; expected objects with kind, slice, column, row and "
            "angle_deg."
        ) from error
    slices = column["slice"].astype(int)
    return SliceEnds(kind, column["column"], column["row"], slices, column["angle_deg"], score)


def write_detections(path: Path, ends: SliceEnds) -> None:
    """Write detections so that :func:`read_detections` reads them."""
    rows = [
        {
            "kind": "tip" if ends.kind[i] == TIP else "handle",
            "slice": int(ends.slice_index[i]),
            "column": float(ends.column[i]),
            "row": float(ends.row[i]),
            "angle_deg": float(ends.angle_deg[i]),
            "score": float(ends.score[i]),
        }
        for i in range(len(ends))
    ]
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(rows), encoding="utf-8")
