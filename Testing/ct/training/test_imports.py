"""Annotated CTs come in as people have them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from ct.training.annotated import straight_needle, volume_with

from needle_backend.core.errors import InputError
from needle_backend.core.markups import write_markups
from needle_backend.core.truth import read_truth, write_truth
from needle_backend.core.volume_io import read_volume, write_volume
from needle_backend.ct.training.checks import LengthLimits
from needle_backend.ct.training.imports import find_sources, read_source
from needle_backend.ct.training.make_dataset import import_cases
from needle_backend.ct.training.truth_labels import read_slice_ends

NEEDLES = [straight_needle(40, 2), straight_needle(70, 3)]


@pytest.fixture
def case(tmp_path):
    """A case folder with a CT of two needles, and no annotation yet."""
    folder = tmp_path / "mine" / "anna"
    write_volume(folder / "ct.nii.gz", volume_with(NEEDLES))
    return folder


def only_case(case):
    (source,) = find_sources(case.parent)
    return read_source(source)


def write_labels(case, marks, flip=False):
    """Write a label map: label -> list of (slice, row, column)."""
    labels = np.zeros(volume_with([]).array.shape, np.uint8)
    for label, places in marks.items():
        for k, row, column in places:
            labels[k, row - 1 : row + 2, column - 1 : column + 2] = label
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(sitk.ReadImage(case / "ct.nii.gz"))
    sitk.WriteImage(sitk.DICOMOrient(image, "RAS") if flip else image, case / "labels.nii.gz")


def assert_same_ends(found, expected, within_mm=0.01):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.tip_lps, b.tip_lps, atol=within_mm)
        np.testing.assert_allclose(a.handle_lps, b.handle_lps, atol=within_mm)


def test_a_truth_json_gives_its_needles(case):
    write_truth(case / "truth.json", NEEDLES, {})
    assert_same_ends(only_case(case).needles, NEEDLES)


def test_line_markups_of_one_file_or_of_many_give_the_same_needles(case):
    write_markups(case / "all.mrk.json", NEEDLES)
    together = only_case(case).needles
    (case / "all.mrk.json").unlink()
    for number, needle in enumerate(NEEDLES):
        write_markups(case / f"L_{number}.mrk.json", [needle])
    assert_same_ends(together, NEEDLES)
    assert_same_ends(only_case(case).needles, NEEDLES)


@pytest.mark.parametrize("flip", [False, True], ids=["same orientation", "turned to RAS"])
def test_a_label_map_gives_a_needle_for_each_pair_of_labels_and_its_own_marks(case, flip):
    marks = {
        1: [(2, 150, 40)],
        2: [(2, 20, 40)],
        3: [(3, 150, 70)],
        4: [(2, 20, 70), (3, 20, 70), (4, 20, 70)],
    }
    write_labels(case, marks, flip)
    found = only_case(case)
    assert_same_ends(found.needles, NEEDLES)
    handles = [end for end in found.slice_ends if (end.kind, end.needle) == ("handle", 1)]
    assert [(end.slice, end.column, end.row) for end in handles] == [
        (2, 70, 20),
        (3, 70, 20),
        (4, 70, 20),
    ]
    assert handles[0].angle_deg == pytest.approx(-90)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ({1: [(2, 150, 40)]}, "no handle (label 2) for needle 1"),
        ({1: [(2, 150, 40), (2, 150, 90)], 2: [(2, 20, 40)]}, "label 1 in places more than 40 mm"),
    ],
)
def test_a_label_map_that_says_too_little_or_two_things_is_refused(case, marks, words):
    write_labels(case, marks)
    with pytest.raises(InputError) as refused:
        only_case(case)
    assert words in str(refused.value)


def test_a_label_map_on_another_grid_is_refused(case):
    sitk.WriteImage(sitk.Image([10, 10, 10], sitk.sitkUInt8), case / "labels.nii.gz")
    with pytest.raises(InputError, match="grid of its CT"):
        only_case(case)


def test_a_case_without_annotation_is_refused(case):
    with pytest.raises(InputError, match="has no annotation"):
        only_case(case)


def test_a_folder_without_cts_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no cases"):
        find_sources(tmp_path)


def test_the_first_folder_is_the_patient(case):
    again = case / "second_scan"
    write_volume(again / "ct.nrrd", volume_with([]))
    sources = find_sources(case.parent)
    assert [(source.name, source.patient) for source in sources] == [
        ("anna", "anna"),
        ("anna/second_scan", "anna"),
    ]


def test_a_dicom_folder_is_one_case(tmp_path):
    (tmp_path / "anna" / "ct").mkdir(parents=True)
    (tmp_path / "anna" / "ct" / "ct.001.dcm").touch()
    (source,) = find_sources(tmp_path)
    assert (source.name, source.ct) == ("anna", tmp_path / "anna" / "ct")


def test_needles_keep_the_names_their_lines_have(case):
    write_markups(case / "all.mrk.json", [replace(NEEDLES[0], id="left 3")])
    assert [needle.id for needle in only_case(case).needles] == ["left 3"]


def test_sound_cases_become_case_folders_and_the_others_are_said_to_be_left_out(case, tmp_path):
    write_markups(case / "needles.mrk.json", NEEDLES)
    broken = case.with_name("bert")
    write_volume(broken / "ct.nii.gz", volume_with(NEEDLES))
    (broken / "truth.json").write_text("{")
    output = tmp_path / "set"
    anna, bert = import_cases(case.parent, output, LengthLimits())
    assert (anna.folder, anna.needles, anna.findings) == (output / "case_000", 2, ())
    assert bert.folder is None
    assert [finding.grave for finding in bert.findings] == [True]
    assert "truth.json" in bert.findings[0].sentence
    assert [path.name for path in output.iterdir()] == ["case_000"]
    truth = anna.folder / "truth.json"
    assert_same_ends(read_truth(truth), NEEDLES)
    assert {(end.kind, end.needle, end.slice) for end in read_slice_ends(truth)} == {
        ("tip", 0, 2),
        ("handle", 0, 2),
        ("tip", 1, 3),
        ("handle", 1, 3),
    }
    assert json.loads(truth.read_text())["annotated"]["patient"] == "anna"
    np.testing.assert_array_equal(
        read_volume(anna.folder / "ct.nii.gz").array, volume_with(NEEDLES).array
    )


def test_a_case_left_out_keeps_its_number(case, tmp_path):
    write_truth(case / "truth.json", NEEDLES, {})
    first = case.with_name("a_without_annotation")
    write_volume(first / "ct.nii.gz", volume_with([]))
    outcome = list(import_cases(case.parent, tmp_path / "set", LengthLimits()))
    assert [imported.folder and imported.folder.name for imported in outcome] == [None, "case_001"]
