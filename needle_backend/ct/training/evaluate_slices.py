"""The 2D part of an evaluation: detections on single slices, read from files beside the needles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.training.slice_score import SliceScore, score_slices
from needle_backend.ct.training.truth_labels import read_slice_ends

KINDS = {"tips": TIP, "handles": HANDLE}


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


def score_case(truth: Path, detections: Path) -> dict[str, SliceScore] | None:
    """Compare a case's detections with its labels; None where something needed is not there.

    Needed are ``slice_ends`` in the truth, the detections, and the CT beside the truth for the size
    of its pixels.
    """
    pixel_mm = _pixel_mm(truth.parent / "ct.nii.gz")
    if pixel_mm is None or not detections.exists() or not _has_labels(truth):
        return None
    labels, found = read_slice_ends(truth), read_detections(detections)
    slices = sorted({label.slice for label in labels} | set(found.slice_index.tolist()))
    totals = dict.fromkeys(KINDS, SliceScore())
    for index in slices:
        here = [label for label in labels if label.slice == index]
        seen = found.take(found.slice_index == index)
        for name, kind in KINDS.items():
            totals[name] += score_slices(seen, here, kind, pixel_mm)
    return totals


def detection_report(cases: Sequence[dict[str, SliceScore] | None]) -> dict | None:
    """Return recall, precision, F1 and errors of tips and handles over all cases that have them."""
    known = [case for case in cases if case is not None]
    if not known:
        return None
    totals = {name: sum((case[name] for case in known), SliceScore()) for name in KINDS}
    return {
        name: {
            "recall": total.recall,
            "precision": total.precision,
            "f1": total.f1,
            "position_mae_mm": total.mae_mm if total.hits else None,
            "angle_mae_deg": total.angle_deg if total.hits else None,
            "hits": total.hits,
            "missed": total.missed,
            "false": total.false,
        }
        for name, total in totals.items()
    }


def _has_labels(truth: Path) -> bool:
    return "slice_ends" in json.loads(truth.read_text(encoding="utf-8"))


def _pixel_mm(image: Path) -> float | None:
    """Read only the header of a CT."""
    if not image.exists():
        return None
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image))
    reader.ReadImageInformation()
    return float(reader.GetSpacing()[0])
