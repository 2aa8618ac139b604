"""Which studies a folder holds, and what is written of them."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial

import numpy as np
import pytest
from core.dicom_writer import axial_positions, write_series
from ct.untrained import write_untrained_weights

from needle_backend.core.errors import InputError
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.core.runner import run_here, run_in_processes
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import write_volume
from needle_backend.ct.detections import read_detections
from needle_backend.ct.studies import find_studies, locate_studies, write_summary


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> LocateOptions:
    weights = write_untrained_weights(tmp_path_factory.mktemp("weights"))
    return LocateOptions(weights=str(weights), device="cpu")


@pytest.fixture
def folder(tmp_path):
    """A file, a case, a DICOM folder, a file that is no CT, and what is no study."""
    values = np.random.default_rng(0).integers(-1000, 1500, (5, 64, 64)).astype(np.int16)
    volume = Volume(values, (3.0, 3.0, 5.0), (0.0, 0.0, 0.0))
    folder = tmp_path / "studies"
    for place in ("case_000/ct.nii.gz", "plain.nrrd", "ward/mon/scan.mha", ".hidden/x.nrrd"):
        write_volume(folder / place, volume)
    (folder / "case_000" / "truth.json").write_text("{}")
    write_series(folder / "dicom", values, axial_positions([5.0 * k for k in range(5)]))
    (folder / "damaged.nii.gz").write_bytes(b"no volume")
    (folder / "notes.txt").write_text("to do")
    return folder


NAMES = ["case_000", "damaged", "dicom", "plain", "ward_mon_scan"]


def test_files_cases_and_dicom_folders_are_studies_and_nothing_else_is(folder, tmp_path):
    studies = find_studies(folder, tmp_path / "out")
    assert sorted(study.name for study in studies) == NAMES


def test_results_inside_the_folder_are_not_searched(folder):
    write_volume(
        folder / "out" / "x" / "ct.nii.gz",
        Volume(np.zeros((3, 8, 8), np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    )
    assert sorted(study.name for study in find_studies(folder, folder / "out")) == NAMES


def test_two_files_with_one_name_keep_their_endings(folder, tmp_path):
    shutil.copy(folder / "plain.nrrd", folder / "plain.mha")
    names = [study.name for study in find_studies(folder, tmp_path / "out")]
    assert {"plain.nrrd", "plain.mha"} <= set(names)
    assert len(set(names)) == len(names)


def test_a_folder_without_a_ct_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no CT"):
        find_studies(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="is no folder"):
        find_studies(tmp_path / "nowhere", tmp_path / "out")


def located(studies, options, runner=run_here):
    return {study.name: failure for study, failure in locate_studies(studies, options, runner)}


def test_one_bad_study_stops_no_other_and_its_sentence_is_kept(folder, tmp_path, options):
    studies = find_studies(folder, tmp_path / "out")
    failures = located(studies, options)
    assert sorted(failures) == NAMES
    assert [name for name, failure in failures.items() if failure] == ["damaged"]
    assert "damaged.nii.gz" in failures["damaged"]


def test_a_study_done_has_needles_detections_and_the_result(folder, tmp_path, options):
    studies = find_studies(folder, tmp_path / "out")
    located(studies, options)
    place = tmp_path / "out" / "case_000"
    result = LocateResult.from_dict(json.loads((place / "result.json").read_text()))
    assert read_markups(place / "needles.mrk.json") == result.needles
    assert len(read_detections(place / "detections.json")) > 0
    assert result.timings_s["total"] >= result.timings_s["read"] > 0


def test_only_what_is_not_done_is_done_again(folder, tmp_path, options):
    studies = find_studies(folder, tmp_path / "out")
    located(studies, options)
    (tmp_path / "out" / "plain" / "result.json").unlink()
    shutil.copy(folder / "plain.nrrd", folder / "mended.nrrd")
    shutil.move(folder / "mended.nrrd", folder / "new.nrrd")
    again = located(find_studies(folder, tmp_path / "out"), options)
    assert sorted(again) == ["damaged", "new", "plain"]


def test_the_summary_tells_of_every_study_what_became_of_it(folder, tmp_path, options):
    studies = find_studies(folder, tmp_path / "out")
    failures = {name: text for name, text in located(studies, options).items() if text}
    (tmp_path / "out" / "plain" / "result.json").write_text("{")
    write_summary(tmp_path / "summary.csv", studies, failures)
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = {row["study"]: row for row in csv.DictReader(file)}
    states = {name: row["state"] for name, row in rows.items()}
    assert states == dict.fromkeys(NAMES, "done") | {"damaged": "failed", "plain": "failed"}
    assert rows["damaged"]["message"] == failures["damaged"]
    assert "delete it and run again" in rows["plain"]["message"]
    assert rows["dicom"]["device"] == "cpu"
    assert int(rows["dicom"]["needles"]) >= 0


@pytest.mark.slow
def test_processes_find_the_same_as_one(folder, tmp_path, options):
    located(find_studies(folder, tmp_path / "one"), options)
    located(find_studies(folder, tmp_path / "two"), options, partial(run_in_processes, workers=2))
    for name in set(NAMES) - {"damaged"}:
        here, there = (tmp_path / place / name / "needles.mrk.json" for place in ("one", "two"))
        assert read_markups(here) == read_markups(there)
