"""Compare located needles with the truth: files, cases, folders of cases.

A needle is found when tip and handle both lie within a gate of a true needle's. Needles are paired
one to one, with as many as possible inside the gate and then the smallest sum of distances: an
assignment by distance alone, gated afterwards, would lose hits. The rule of the paper (every
predicted needle goes to its nearest true one; Xiao et al. 2025) is given beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.geometry import angle_between_lines_deg
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import Needle
from needle_backend.core.truth import read_truth
from needle_backend.ct.training.evaluate_slices import detection_report, score_case

GATES_MM = (1.0, 2.0, 3.0, 5.0)
AXES = ("x", "y", "z")


@dataclass(frozen=True)
class CaseComparison:
    """Needles of one case and which of them belong together.

    Attributes
    ----------
    true_ends, predicted_ends
        (n, 2, 3) and (m, 2, 3): tip and handle, LPS mm.
    pairs
        (k, 2): true and predicted index of each found needle.
    nearest
        Found needles by the paper's nearest rule.
    """

    true_ends: np.ndarray
    predicted_ends: np.ndarray
    pairs: np.ndarray
    nearest: int


def evaluate_path(truth: Path, predicted: Path, gate_mm: float = 5.0) -> dict:
    """Compare a prediction with its truth, or a folder of them with a folder of truths.

    Parameters
    ----------
    truth
        A truth.json, or a folder with case_000/truth.json and so on.
    predicted
        A .mrk.json, or a folder with case_000/needles.mrk.json and so on. A case without a
        prediction counts as one in which nothing was found, and is listed.
    gate_mm
        Largest distance of both ends of a found needle.

    Raises
    ------
    InputError
        When a file cannot be read, or the folder holds no cases.
    """
    if not truth.is_dir():
        if not predicted.is_file():
            raise InputError(f"{predicted} is no file; give the .mrk.json to compare with {truth}.")
        return evaluate_cases({truth.name: (truth, predicted)}, gate_mm)
    names = sorted(path.parent.name for path in truth.glob("*/truth.json"))
    if not names:
        raise InputError(f"{truth} holds no cases; expected folders with a truth.json in each.")
    if not predicted.is_dir():
        raise InputError(f"{predicted} is no folder, but the truth is; give a folder of cases.")
    files = {n: (truth / n / "truth.json", predicted / n / "needles.mrk.json") for n in names}
    return evaluate_cases(files, gate_mm)


def evaluate_cases(files: dict[str, tuple[Path, Path]], gate_mm: float) -> dict:
    """Compare named (truth, prediction) files; several cases are pooled and told apart."""
    cases: dict[str, CaseComparison] = {}
    missing = []
    on_slices = []
    for name, (truth, predicted) in files.items():
        if not predicted.exists():
            missing.append(name)
        found = read_markups(predicted) if predicted.exists() else ()
        cases[name] = compare(read_truth(truth), found, gate_mm)
        on_slices.append(score_case(truth, predicted.with_name("detections.json")))
    return {
        "gate_mm": gate_mm,
        **pooled(list(cases.values())),
        "per_gate": {
            f"{gate:g}": _rates(_at_gate(list(cases.values()), gate)) for gate in GATES_MM
        },
        "per_case": {name: pooled([case]) for name, case in cases.items()},
        "missing_predictions": missing,
        "detection_2d": detection_report(on_slices),
    }


def compare(truth: Sequence[Needle], predicted: Sequence[Needle], gate_mm: float) -> CaseComparison:
    """Pair the needles of one case."""
    return compare_ends(_ends(truth), _ends(predicted), gate_mm)


def compare_ends(
    true_ends: np.ndarray, predicted_ends: np.ndarray, gate_mm: float
) -> CaseComparison:
    """As :func:`compare`, for arrays (n, 2, 3) of tips and handles."""
    from scipy.optimize import linear_sum_assignment

    distances = np.linalg.norm(true_ends[:, None] - predicted_ends[None], axis=-1)
    inside = (distances <= gate_mm).all(axis=-1)
    total = distances.sum(axis=-1)
    # One more needle inside the gate outweighs any sum of distances inside it.
    reward = np.where(inside, 1.0 - total / (4.0 * gate_mm * max(len(inside), 1) + 1.0), 0.0)
    rows, columns = linear_sum_assignment(reward, maximize=True)
    found = inside[rows, columns]
    return CaseComparison(
        true_ends,
        predicted_ends,
        np.column_stack((rows[found], columns[found])),
        _found_by_nearest(total, inside),
    )


def _found_by_nearest(total: np.ndarray, inside: np.ndarray) -> int:
    """Count true needles that some predicted needle is nearest to, and inside the gate of."""
    if total.size == 0:
        return 0
    nearest = total.argmin(axis=0)
    hit = inside[nearest, np.arange(len(nearest))]
    return len(np.unique(nearest[hit]))


def pooled(cases: Sequence[CaseComparison]) -> dict:
    """Return rates, errors and counts over all needles of some cases."""
    return {**_rates(cases), **_errors(cases), "counts": _counts(cases)}


def compare_with_baseline(ours: Sequence[float], baseline: Sequence[float]) -> dict:
    """Test per-patient values against a baseline's: Wilcoxon signed rank, two-sided.

    Parameters
    ----------
    ours, baseline
        One value a patient, of the same patients in the same order.

    Raises
    ------
    InputError
        When the numbers of patients differ.
    """
    from scipy.stats import wilcoxon

    a, b = np.asarray(ours, float), np.asarray(baseline, float)
    if a.shape != b.shape:
        raise InputError(
            f"{len(a)} patients cannot be compared with {len(b)}; give both results for the same."
        )
    difference = a - b
    p_value = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    return {
        "patients": len(a),
        "median_difference": float(np.median(difference)) if len(a) else None,
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
        "p_value": p_value,
    }


def _ends(needles: Sequence[Needle]) -> np.ndarray:
    return np.array([(n.tip_lps, n.handle_lps) for n in needles], float).reshape(-1, 2, 3)


def _at_gate(cases: Sequence[CaseComparison], gate_mm: float) -> list[CaseComparison]:
    return [compare_ends(case.true_ends, case.predicted_ends, gate_mm) for case in cases]


def _counts(cases: Sequence[CaseComparison]) -> dict[str, int]:
    true = sum(len(case.true_ends) for case in cases)
    predicted = sum(len(case.predicted_ends) for case in cases)
    found = sum(len(case.pairs) for case in cases)
    return {
        "cases": len(cases),
        "true": true,
        "predicted": predicted,
        "found": found,
        "missed": true - found,
        "false": predicted - found,
        "found_nearest_rule": sum(case.nearest for case in cases),
        "count_right": sum(len(c.true_ends) == len(c.predicted_ends) for c in cases),
    }


def _rates(cases: Sequence[CaseComparison]) -> dict[str, float | None]:
    """Return precision, recall and F1; None where there is nothing to divide by."""
    counts = _counts(cases)
    return {
        **rates(counts["found"], counts["true"], counts["predicted"]),
        "f1_nearest_rule": rates(counts["found_nearest_rule"], counts["true"], counts["predicted"])[
            "f1"
        ],
    }


def rates(found: int, true: int, predicted: int) -> dict[str, float | None]:
    """Return precision, recall and F1; None where there is nothing to divide by."""
    return {
        "precision": found / predicted if predicted else None,
        "recall": found / true if true else None,
        "f1": 2 * found / (true + predicted) if true + predicted else None,
    }


def _errors(cases: Sequence[CaseComparison]) -> dict:
    """Return mean absolute errors on the found needles; None where none was found."""
    true = np.concatenate([case.true_ends[case.pairs[:, 0]] for case in cases])
    predicted = np.concatenate([case.predicted_ends[case.pairs[:, 1]] for case in cases])
    if len(true) == 0:
        return {"tip_mae_mm": None, "handle_mae_mm": None, "per_axis_mm": None, "angle_deg": None}
    off = predicted - true
    distance = np.linalg.norm(off, axis=-1)
    angle = angle_between_lines_deg(true[:, 1] - true[:, 0], predicted[:, 1] - predicted[:, 0])
    per_axis = np.abs(off).mean(axis=0)
    return {
        "tip_mae_mm": float(distance[:, 0].mean()),
        "handle_mae_mm": float(distance[:, 1].mean()),
        "per_axis_mm": {
            end: dict(zip(AXES, per_axis[index].tolist(), strict=True))
            for index, end in enumerate(("tip", "handle"))
        },
        "angle_deg": float(angle.mean()),
    }
