"""A blind test for readers: rounds of real and generated tips, shuffled; an answer form; scores.

As published (Wang et al. 2025): three rounds, each of 50 real and 50 generated fresh patches.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.us.training.patches import patch_sheet

REAL, GENERATED = "real", "generated"
KEY, ANSWERS = "key.csv", "answers.csv"

_COLUMNS = 10
_ENLARGED = 2
_LABEL_PX = 18


def write_blind_test(
    real: np.ndarray,
    generated: np.ndarray,
    output: Path,
    seed: int,
    rounds: int = 3,
    of_each: int = 50,
) -> list[Path]:
    """Write a numbered sheet a round, the form to fill in, and the key to keep from readers.

    Parameters
    ----------
    real, generated
        uint8, (n, 64, 64); no patch is shown twice.
    output
        Folder for ``round_1.png`` and on, ``answers.csv`` and ``key.csv``.

    Returns
    -------
    list of pathlib.Path
        The sheets.

    Raises
    ------
    InputError
        When there are too few patches, or the place is not writable.
    """
    for name, patches in ((REAL, real), (GENERATED, generated)):
        if len(patches) < rounds * of_each:
            raise InputError(
                f"{len(patches)} {name} patches are too few for {rounds} rounds of {of_each}; "
                f"give {rounds * of_each}."
            )
    rng = np.random.default_rng(seed)
    pool = {
        name: patches[rng.permutation(len(patches))[: rounds * of_each]]
        for name, patches in ((REAL, real), (GENERATED, generated))
    }
    sheets, key = [], []
    for number in range(1, rounds + 1):
        kinds = rng.permutation([REAL] * of_each + [GENERATED] * of_each)
        sheet = output / f"round_{number}.png"
        _write_sheet(np.stack([_next(pool, kind) for kind in kinds]), sheet)
        sheets.append(sheet)
        key += [(number, place, kind) for place, kind in enumerate(kinds, start=1)]
    _write_rows(output / KEY, ("round", "patch", "truth"), key)
    form = [(number, place, "") for number, place, _ in key]
    _write_rows(output / ANSWERS, ("round", "patch", "answer"), form)
    return sheets


def score_blind_test(answers: Path, key: Path) -> dict[str, Any]:
    """Compare one reader's filled form with the key.

    Returns
    -------
    dict
        Per round and pooled: the shares of generated and of real patches that were called real,
        and of all that were called rightly.

    Raises
    ------
    InputError
        When a row is missing, listed twice, or its answer is neither real nor generated.
    """
    truth, given = _read_rows(key, "truth"), _read_rows(answers, "answer")
    missing = sorted(set(truth) - set(given))
    if missing:
        raise InputError(
            f"{answers} lacks the answer to patch {missing[0][1]} of round {missing[0][0]}; "
            "fill it in."
        )
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for place, kind in truth.items():
        pairs[f"round {place[0]}"].append((kind, given[place]))
    pooled = [pair for rows in pairs.values() for pair in rows]
    return {name: _shares(rows) for name, rows in [*pairs.items(), ("pooled", pooled)]}


def _shares(pairs: list[tuple[str, str]]) -> dict[str, float]:
    called = {
        kind: float(np.mean([answer == REAL for truth, answer in pairs if truth == kind]))
        for kind in (GENERATED, REAL)
    }
    return {
        "generated_called_real": called[GENERATED],
        "real_called_real": called[REAL],
        "called_rightly": float(np.mean([truth == answer for truth, answer in pairs])),
    }


def _next(pool: dict[str, np.ndarray], kind: str) -> np.ndarray:
    first, pool[kind] = pool[kind][0], pool[kind][1:]
    return first


def _write_sheet(patches: np.ndarray, path: Path) -> None:
    """Write enlarged, numbered patches, ten a row."""
    large = patches.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    labelled = np.pad(large, ((0, 0), (_LABEL_PX, 0), (2, 2)))
    for number, tile in enumerate(labelled, start=1):
        cv2.putText(tile, str(number), (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 255, 1, cv2.LINE_AA)
    with written_whole(path) as temporary:
        cv2.imwrite(str(temporary), patch_sheet(labelled, _COLUMNS))


def _write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _read_rows(path: Path, column: str) -> dict[tuple[int, int], str]:
    """Return what each (round, patch) is called."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file; save it as CSV again.") from error
    found: dict[tuple[int, int], str] = {}
    for number, row in enumerate(rows, start=2):
        try:
            place = int(row["round"]), int(row["patch"])
            value = row[column].strip().lower()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path}, row {number} is not round,patch,{column}; restore the form's columns."
            ) from error
        if value not in (REAL, GENERATED):
            raise InputError(f"{path}, row {number} says {value!r}; write {REAL} or {GENERATED}.")
        if place in found:
            raise InputError(f"{path}, row {number} repeats an earlier patch; remove one of them.")
        found[place] = value
    return found
