"""Divide cases into folds so that no patient is trained and tested on at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole

SPLITS_FILE = "splits.json"


def patient_folds(patient_of: Mapping[str, str], folds: int, seed: int = 0) -> list[list[str]]:
    """Divide cases into folds of about equal size, each patient's cases in one fold.

    Parameters
    ----------
    patient_of
        Patient of each case, by the case's name.
    folds
        How many folds.
    seed
        The same seed gives the same folds.

    Returns
    -------
    list of list of str
        The cases of each fold, sorted.

    Raises
    ------
    InputError
        When there are fewer patients than folds.
    """
    cases_of: dict[str, list[str]] = {}
    for case, patient in sorted(patient_of.items()):
        cases_of.setdefault(patient, []).append(case)
    if not 2 <= folds <= len(cases_of):
        raise InputError(
            f"{len(cases_of)} patients cannot be divided into {folds} folds; ask for 2 to "
            "as many folds as there are patients."
        )
    patients = sorted(cases_of)
    np.random.default_rng(seed).shuffle(patients)
    divided: list[list[str]] = [[] for _ in range(folds)]
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
