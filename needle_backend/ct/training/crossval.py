"""Cross-validation by patients: train on all folds but one, test on that one, in turn.

The protocol of the paper (Xiao et al. 2025): five folds of patients, detection on slices and
needles in 3D, means and standard deviations over the folds, and a two-sided Wilcoxon test of
patients' F1 against a baseline's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from needle_backend.core.device import choose_device
from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.markups import write_markups
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken
from needle_backend.core.truth import read_truth
from needle_backend.core.volume_io import read_volume
from needle_backend.core.weights import find_weights
from needle_backend.ct.detect import detect_ends
from needle_backend.ct.detections import write_detections
from needle_backend.ct.localize import needles_from_ends
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.training.evaluate import compare_with_baseline, evaluate_cases
from needle_backend.ct.training.splits import (
    SPLITS_FILE,
    other_folds,
    patient_folds,
    patients_of,
    read_splits,
)
from needle_backend.ct.training.train import TrainSettings, train
from needle_backend.ct.weights import load_network

IN_3D = ("precision", "recall", "f1", "tip_mae_mm", "handle_mae_mm", "angle_deg")
IN_2D = ("recall", "precision", "f1", "position_mae_mm", "angle_mae_deg")


@dataclass(frozen=True)
class CrossValidation:
    """What to cross-validate.

    Attributes
    ----------
    settings
        The recipe that every fold is trained with.
    data
        Folder of cases; its splits.json is followed where it has the folds asked for.
    folds
        Into how many folds to divide the patients.
    output
        Where the folds' weights, predictions and reports go.
    initial
        Weights to start every fold from; None for the recipe's own start. They must not have seen
        the patients tested on.
    max_hours
        Longest training of one fold.
    device
        What to test on.
    """

    settings: TrainSettings
    data: Path
    folds: int
    output: Path
    initial: Path | None = None
    max_hours: float | None = None
    device: str = "auto"


def cross_validate(order: CrossValidation, told: Callable[[str], None] = print) -> dict:
    """Train and test every fold; one that has its report already is not done again.

    Parameters
    ----------
    order
        What to do.
    told
        Called with a sentence as each fold starts.

    Returns
    -------
    dict
        ``folds`` (their reports), ``per_case``, ``patients`` and ``summary``; see :func:`summary`.

    Raises
    ------
    InputError
        When the data holds no cases, or fewer patients than folds.
    """
    folds, patient_of = folds_of(order.data, order.folds)
    reports = []
    for index, tested in enumerate(folds):
        place = order.output / f"fold_{index}"
        stored = place / "report.json"
        if not stored.exists():
            told(f"Fold {index + 1} of {len(folds)}: testing on {', '.join(tested)}.")
            cases = [order.data / name for name in other_folds(folds, index)]
            weights = train(
                order.settings, cases, place / "training", order.initial, order.max_hours
            )
            _write_json(stored, evaluate_fold(weights, order, tested, place / "predicted"))
        reports.append(json.loads(stored.read_text(encoding="utf-8")))
    result = {
        "summary": summary(reports),
        "patients": patient_of,
        "per_case": {name: case for report in reports for name, case in report["per_case"].items()},
        "folds": reports,
    }
    _write_json(order.output / "report.json", result)
    return result


def folds_of(data: Path, folds: int) -> tuple[list[list[str]], dict[str, str]]:
    """Return the folds of a folder of cases, and the patient of each case.

    A case of which no patient is known counts as a patient of its own.

    Raises
    ------
    InputError
        When the folder holds no cases, fewer patients than folds, or folds of other cases.
    """
    names = sorted(path.parent.name for path in data.glob("*/truth.json"))
    if not names:
        raise InputError(f"{data} holds no cases (case_000/ct.nii.gz with truth.json).")
    if (data / SPLITS_FILE).exists():
        known, patient_of = read_splits(data / SPLITS_FILE)
        if sorted(patient_of) != names:
            raise InputError(
                f"{data / SPLITS_FILE} divides other cases than {data} holds; import them again."
            )
        if len(known) == folds:
            return known, patient_of
    else:
        found = patients_of([data / name for name in names])
        patient_of = {case.name: patient for case, patient in found.items()}
    return patient_folds(patient_of, folds), patient_of


def evaluate_fold(
    weights: Path, order: CrossValidation, cases: Sequence[str], output: Path
) -> dict:
    """Find the needles of cases, their number given, and compare them with the truth."""
    device = choose_device(order.device).device
    network, inputs = load_network(find_weights(str(weights)), device)
    files = {}
    for name in cases:
        truth, predicted = order.data / name / "truth.json", output / name / "needles.mrk.json"
        volume = read_volume(order.data / name / "ct.nii.gz")
        seen = detect_ends(network, volume.array, inputs)
        options = LocateOptions(count=len(read_truth(truth)) or None)
        tophat = white_top_hat(volume.array)
        result = needles_from_ends(seen, volume, tophat, options, CancelToken())
        write_markups(predicted, result.needles)
        write_detections(predicted.with_name("detections.json"), seen)
        files[name] = (truth, predicted)
    return evaluate_cases(files, gate_mm=5.0)


def summary(reports: Sequence[Mapping]) -> dict:
    """Return mean and standard deviation over the folds of every figure in 2D and 3D.

    Folds without a figure (nothing found, so no error) are left out of it; ``folds`` tells how many
    it stands on.
    """
    return {
        "tips_2d": {name: _mean_sd(_in_2d(reports, "tips", name)) for name in IN_2D},
        "handles_2d": {name: _mean_sd(_in_2d(reports, "handles", name)) for name in IN_2D},
        "needles_3d": {name: _mean_sd([report[name] for report in reports]) for name in IN_3D},
    }


def against_baseline(result: Mapping, baseline: Mapping) -> dict:
    """Compare patients' F1 with a baseline's: another cross-validation, or an evaluation.

    Parameters
    ----------
    result
        Of :func:`cross_validate`.
    baseline
        Anything with ``per_case``, for the same cases.

    Raises
    ------
    InputError
        When the baseline lacks a case.
    """
    missing = sorted(set(result["per_case"]) - set(baseline.get("per_case", {})))
    if missing:
        raise InputError(
            f"The baseline has no result for {', '.join(missing)}; evaluate it on the same cases."
        )
    patients = result["patients"]
    ours, theirs = (_f1_of_patients(found["per_case"], patients) for found in (result, baseline))
    both = [name for name in ours if name in theirs]
    return compare_with_baseline([ours[name] for name in both], [theirs[name] for name in both])


def _f1_of_patients(per_case: Mapping, patient_of: Mapping[str, str]) -> dict[str, float]:
    """Average the F1 of each patient's cases; cases with no needle, true or found, have none."""
    values: dict[str, list[float]] = {}
    for name, patient in patient_of.items():
        f1 = per_case[name]["f1"]
        if f1 is not None:
            values.setdefault(patient, []).append(f1)
    return {patient: float(np.mean(found)) for patient, found in values.items()}


def _in_2d(reports: Sequence[Mapping], kind: str, name: str) -> list[float | None]:
    return [report["detection_2d"][kind][name] for report in reports if report["detection_2d"]]


def _mean_sd(values: Sequence[float | None]) -> dict:
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "folds": len(known),
    }


def _write_json(path: Path, content: dict) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
