"""Whose case is whose, and divisions in which no patient is trained and tested on at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.ct.training.anatomy import PROCEDURAL

SPLITS_FILE = "splits.json"

Case = TypeVar("Case", str, int)
"""A case's name, or its number in a list."""


def patients_of(cases: Sequence[Path]) -> dict[Path, str]:
    """Return the patient of each case folder.

    The ``splits.json`` beside a case tells, or its ``truth.json``: the patient it was imported as,
    or the real CT that needles were simulated into. A case of which neither knows anything is a
    patient of its own. Patients of one name are one patient, wherever their cases lie.

    Raises
    ------
    InputError
        When a ``splits.json`` or ``truth.json`` cannot be read.
    """
    listed = {
        folder: read_splits(folder / SPLITS_FILE)[1] if (folder / SPLITS_FILE).exists() else {}
        for folder in {case.parent for case in cases}
    }
    return {case: listed[case.parent].get(case.name) or _named_in_truth(case) for case in cases}


def _named_in_truth(case: Path) -> str:
    path = case / "truth.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a truth.json.") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON; simulate or import the case again.") from error
    background = _fact(facts, "simulated", "background")
    real = background if background != PROCEDURAL else None
    return str(_fact(facts, "annotated", "patient") or real or case.resolve())


def _fact(facts: object, section: str, name: str) -> object:
    """Look up a fact that may be missing at any level."""
    inner = facts.get(section) if isinstance(facts, dict) else None
    return inner.get(name) if isinstance(inner, dict) else None


def held_out(patient_of: Mapping[Case, str], share: float) -> list[Case]:
    """Choose whole patients to keep out of training, with about ``share`` of all cases.

    Raises
    ------
    InputError
        When all cases are one patient's.
    """
    patients = len(set(patient_of.values()))
    if patients < 2:
        raise InputError(
            f"{len(patient_of)} cases of one patient are too few to train and validate on; give "
            "at least two patients' cases."
        )
    return patient_folds(patient_of, min(max(2, round(1 / share)), patients))[0]


def patient_folds(patient_of: Mapping[Case, str], folds: int, seed: int = 0) -> list[list[Case]]:
    """Divide cases into folds of about equal size, each patient's cases in one fold.

    Parameters
    ----------
    patient_of
        Patient of each case, by the case's name or number.
    folds
        How many folds.
    seed
        The same seed gives the same folds.

    Returns
    -------
    list of list
        The cases of each fold, sorted.

    Raises
    ------
    InputError
        When there are fewer patients than folds.
    """
    cases_of: dict[str, list[Case]] = {}
    for case, patient in sorted(patient_of.items()):
        cases_of.setdefault(patient, []).append(case)
    if not 2 <= folds <= len(cases_of):
        raise InputError(
            f"{len(cases_of)} patients cannot be divided into {folds} folds; ask for 2 to "
            "as many folds as there are patients."
        )
    patients = sorted(cases_of)
    np.random.default_rng(seed).shuffle(patients)
    divided: list[list[Case]] = [[] for _ in range(folds)]
    # The patients with most cases first, each into the smallest fold so far.
    for patient in sorted(patients, key=lambda patient: -len(cases_of[patient])):
        min(divided, key=len).extend(cases_of[patient])
    return [sorted(fold) for fold in divided]


def write_splits(path: Path, folds: list[list[str]], patient_of: Mapping[str, str]) -> None:
    """Write the folds, and whose case each is, as JSON."""
    content = {"folds": folds, "patients": dict(sorted(patient_of.items()))}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_splits(path: Path) -> tuple[list[list[str]], dict[str, str]]:
    """Read folds, and the patient of each case.

    Raises
    ------
    InputError
        When the file is no such JSON, or its folds share a patient.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        folds = [[str(case) for case in fold] for fold in content["folds"]]
        patient_of = {str(case): str(name) for case, name in content["patients"].items()}
        patients = [{patient_of[case] for case in fold} for fold in folds]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path} is no list of folds; expected {{"folds": [["case_000", ...], ...], '
            '"patients": {"case_000": "patient", ...}}.'
        ) from error
    if sum(map(len, patients)) != len(set().union(*patients)):
        raise InputError(f"{path} has a patient in two folds; divide the cases again.")
    return folds, patient_of


def other_folds(folds: list[list[str]], tested: int) -> list[str]:
    """Return the cases to train on where one fold is tested."""
    return sorted(case for index, fold in enumerate(folds) if index != tested for case in fold)
