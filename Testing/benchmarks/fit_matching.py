"""Fit the coefficients of matching on located cases; prints them as JSON.

    python Testing/benchmarks/ct_accuracy.py --settings ... --output runs/calibration ...
    python Testing/benchmarks/fit_matching.py runs/calibration [more folders]

Takes the cases and detections that ct_accuracy.py left behind. The coefficients go, by hand and
with a commit that says what they were fitted on, into needle_backend/ct/score.py,
needle_backend/ct/doubts.py and needle_backend/ct/loose_ends.py: first the score, then, on a second
run, the confidence, and on a third the ends without a needle.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from needle_backend.core.needles import LocateOptions
from needle_backend.core.truth import read_truth
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.score import log_odds
from needle_backend.ct.training.calibrate import (
    CalibrationCase,
    calibration_case,
    confidence_examples,
    fit_doubts,
    fit_first_look,
    fit_loose_ends,
    probability,
    reliability,
)
from needle_backend.ct.training.evaluate_slices import read_detections


def main() -> None:
    """Fit both models on all cases of some folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    options = LocateOptions()
    cases = [
        case
        for folder in parser.parse_args().folders
        for case in read_cases(folder, options)
        if len(case.pairs) > 0
    ]
    confidence = fit_doubts(cases)
    features, correct = confidence_examples(cases)
    loose_tip, loose_handle = fit_loose_ends(cases)
    sure = probability(log_odds(features, confidence))
    report = {
        "cases": len(cases),
        "first_look": _rounded(fit_first_look(cases, options)),
        "confidence": _rounded(confidence),
        "loose_tip": _rounded(loose_tip),
        "loose_handle": _rounded(loose_handle),
        "reliability": [_rounded(point) for point in reliability(sure, correct)],
        "flagged_below": {
            f"{level:g}": {
                "wrong": round(float((sure[~correct] < level).mean()), 3),
                "right": round(float((sure[correct] < level).mean()), 3),
            }
            for level in (0.5, 0.8, 0.9, 0.92, 0.94, 0.96, 0.98)
        },
    }
    print(json.dumps(report, indent=1))


def read_cases(folder: Path, options: LocateOptions) -> list[CalibrationCase]:
    """Read the cases of one output folder of ct_accuracy.py that have detections."""
    cases = []
    for stored in sorted((folder / "detections").glob("*.json")):
        place = folder / "cases" / stored.stem
        volume = read_volume(place / "ct.nii.gz")
        truth = read_truth(place / "truth.json")
        cases.append(calibration_case(volume, read_detections(stored), truth, options))
    return cases


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


if __name__ == "__main__":
    main()
