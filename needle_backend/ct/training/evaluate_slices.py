"""The 2D part of an evaluation: detections on single slices, read from files beside the needles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from needle_backend.ct.detections import read_detections
from needle_backend.ct.ends import HANDLE, TIP
from needle_backend.ct.training.slice_score import SliceScore, score_slices
from needle_backend.ct.training.truth_labels import read_slice_ends

KINDS = {"tips": TIP, "handles": HANDLE}


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
