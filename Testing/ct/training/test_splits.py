"""No patient is trained and tested on at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.truth import write_truth
from needle_backend.ct.training.anatomy import PROCEDURAL
from needle_backend.ct.training.splits import (
    held_out,
    other_folds,
    patient_folds,
    patients_of,
    read_splits,
    write_splits,
)


@given(
    st.lists(st.integers(0, 9), min_size=10, max_size=40),
    st.integers(2, 5),
    st.integers(0, 5),
)
def test_folds_hold_every_case_once_and_no_patient_twice(patients, folds, seed):
    patient_of = {f"case_{i:03d}": f"p{patient}" for i, patient in enumerate(patients)}
    if len(set(patients)) < folds:
        return
    divided = patient_folds(patient_of, folds, seed)
    assert sorted(case for fold in divided for case in fold) == sorted(patient_of)
    owners = [{patient_of[case] for case in fold} for fold in divided]
    assert sum(map(len, owners)) == len(set(patients))
    assert all(divided)


def test_folds_are_of_about_equal_size():
    patient_of = {f"case_{i:03d}": f"p{i}" for i in range(42)}
    assert sorted(map(len, patient_folds(patient_of, 5))) == [8, 8, 8, 9, 9]


def test_fewer_patients_than_folds_are_refused():
    with pytest.raises(InputError, match="2 patients cannot be divided into 5 folds"):
        patient_folds({"a": "p", "b": "p", "c": "q"}, 5)


def test_folds_are_read_as_they_were_written(tmp_path):
    patient_of = {"a": "p", "b": "p", "c": "q"}
    folds = patient_folds(patient_of, 2)
    write_splits(tmp_path / "splits.json", folds, patient_of)
    assert read_splits(tmp_path / "splits.json") == (folds, patient_of)


def test_folds_that_share_a_patient_are_refused(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"folds": [["a"], ["b"]], "patients": {"a": "p", "b": "p"}}))
    with pytest.raises(InputError, match="a patient in two folds"):
        read_splits(path)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"folds": [["a"]]}', '{"folds": 3, "patients": {}}']
)
def test_a_file_that_is_no_list_of_folds_is_refused(tmp_path, content):
    path = tmp_path / "splits.json"
    path.write_text(content)
    with pytest.raises(InputError, match="no list of folds"):
        read_splits(path)


def test_what_is_not_tested_is_trained_on():
    assert other_folds([["a", "d"], ["b"], ["c"]], 1) == ["a", "c", "d"]


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.floats(0.02, 0.5))
def test_a_patient_held_out_is_held_out_whole(patients, share):
    patient_of = {i: f"p{patient}" for i, patient in enumerate(patients)}
    if len(set(patients)) < 2:
        return
    held = held_out(patient_of, share)
    trained_on = set(patient_of) - set(held)
    assert held and trained_on
    assert not {patient_of[i] for i in held} & {patient_of[i] for i in trained_on}


def test_about_the_share_asked_for_is_held_out():
    patient_of = {i: f"p{i % 80}" for i in range(160)}
    assert 8 <= len(held_out(patient_of, 0.06)) <= 12


def test_one_patient_alone_cannot_be_divided():
    with pytest.raises(InputError, match="3 cases of one patient"):
        held_out({0: "p", 1: "p", 2: "p"}, 0.06)


def test_a_patient_is_known_by_the_import_the_background_or_the_splits(tmp_path):
    facts = {
        "imported": {"annotated": {"case": "a/1", "patient": "anna"}},
        "over_real": {"simulated": {"background": "sts_012.nii.gz"}},
        "procedural": {"simulated": {"background": PROCEDURAL}},
        "another": {"simulated": True},
    }
    cases = [tmp_path / name for name in facts]
    for case, extra in zip(cases, facts.values(), strict=True):
        case.mkdir()
        write_truth(case / "truth.json", [], extra)
    patients = list(patients_of(cases).values())
    assert patients[:2] == ["anna", "sts_012.nii.gz"]
    assert len(set(patients)) == 4
    folds = [["imported"], ["another", "procedural"]]
    names = {"imported": "bert", "another": "carl", "procedural": "carl"}
    write_splits(tmp_path / "splits.json", folds, names)
    assert list(patients_of(cases).values()) == ["bert", "sts_012.nii.gz", "carl", "carl"]
