"""Readers see shuffled, numbered patches; their answers are scored against the key."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.training.blind_test import score_blind_test, write_blind_test

REAL = np.full((30, 64, 64), 200, np.uint8)
GENERATED = np.full((30, 64, 64), 100, np.uint8)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fill(path, answers):
    rows = rows_of(path)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("round", "patch", "answer"))
        writer.writeheader()
        writer.writerows(
            {**row, "answer": answer} for row, answer in zip(rows, answers, strict=True)
        )


def test_every_round_shows_as_many_real_as_generated_patches(tmp_path):
    sheets = write_blind_test(REAL, GENERATED, tmp_path, seed=1, rounds=3, of_each=10)
    key = rows_of(tmp_path / "key.csv")
    for number, sheet in enumerate(sheets, start=1):
        truths = [row["truth"] for row in key if row["round"] == str(number)]
        assert sorted(truths) == ["generated"] * 10 + ["real"] * 10
        assert truths != sorted(truths)
        shown = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
        assert (shown == 200).sum() >= 10 * 128 * 128
        assert (shown == 100).sum() >= 10 * 128 * 128


def test_the_key_agrees_with_the_sheet(tmp_path):
    (sheet,) = write_blind_test(REAL, GENERATED, tmp_path, seed=1, rounds=1, of_each=5)
    shown = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
    middles = shown[100, 80 : 10 * 132 : 132]
    truths = [row["truth"] for row in rows_of(tmp_path / "key.csv")]
    assert [("real" if grey == 200 else "generated") for grey in middles] == truths


def test_no_patch_is_shown_twice(tmp_path):
    numbered = np.arange(1, 31, dtype=np.uint8)[:, None, None] + np.zeros((64, 64), np.uint8)
    sheets = write_blind_test(numbered, numbered + 100, tmp_path, seed=1, rounds=3, of_each=10)
    greys = [np.unique(cv2.imread(str(sheet), 0)[100, 80::132]) for sheet in sheets]
    seen = np.concatenate(greys)
    assert len(seen) == len(set(seen))


def test_the_form_to_fill_gives_nothing_away(tmp_path):
    write_blind_test(REAL, GENERATED, tmp_path, seed=1, rounds=1, of_each=5)
    form = rows_of(tmp_path / "answers.csv")
    assert len(form) == 10
    assert {row["answer"] for row in form} == {""}


def test_a_reader_who_sees_through_it_all_scores_fully(tmp_path):
    write_blind_test(REAL, GENERATED, tmp_path, seed=1, rounds=2, of_each=5)
    fill(tmp_path / "answers.csv", [row["truth"] for row in rows_of(tmp_path / "key.csv")])
    scores = score_blind_test(tmp_path / "answers.csv", tmp_path / "key.csv")
    assert set(scores) == {"round 1", "round 2", "pooled"}
    assert scores["pooled"] == {
        "generated_called_real": 0.0,
        "real_called_real": 1.0,
        "called_rightly": 1.0,
    }


def test_a_reader_who_calls_everything_real_is_right_half_the_time(tmp_path):
    write_blind_test(REAL, GENERATED, tmp_path, seed=1, rounds=2, of_each=5)
    fill(tmp_path / "answers.csv", ["Real "] * 20)
    pooled = score_blind_test(tmp_path / "answers.csv", tmp_path / "key.csv")["pooled"]
    assert pooled == {"generated_called_real": 1.0, "real_called_real": 1.0, "called_rightly": 0.5}


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (["real"] * 9 + [""], "row 11 says ''"),
        (["real"] * 9 + ["maybe"], "row 11 says 'maybe'"),
    ],
)
def test_a_form_that_is_not_filled_is_refused(tmp_path, answers, sentence):
    write_blind_test(REAL, GENERATED, tmp_path, seed=1, rounds=1, of_each=5)
    fill(tmp_path / "answers.csv", answers)
    with pytest.raises(InputError, match=sentence):
        score_blind_test(tmp_path / "answers.csv", tmp_path / "key.csv")


def test_too_few_patches_are_refused(tmp_path):
    with pytest.raises(InputError, match="30 real patches are too few"):
        write_blind_test(REAL, GENERATED, tmp_path, seed=1)
