import csv
from dataclasses import replace

import numpy as np
import pytest
from core.dicom_writer import axial_positions, write_series
from highdicom.sr import srread
from pydicom import dcmread

from needle_backend.core.markups import write_markups
from needle_backend.core.needles import Needle
from needle_backend.core.review_log import SOFTWARE, ReviewLog, ReviewState

FOUND = (
    Needle((-5.0, 5.0, 12.0), (10.0, -20.0, 20.0), 41.2, 0.93, (), "N01"),
    Needle((5.0, 0.0, 13.0), (12.0, -25.0, 22.0), 12.3, 0.41, ("its shaft fades",), "N02"),
)


@pytest.fixture
def markups(tmp_path):
    """Two needles; somebody accepted the first."""
    found = ReviewLog().with_entry(ReviewState.found, SOFTWARE)
    accepted = found.with_entry(ReviewState.accepted, "mueller")
    write_markups(tmp_path / "needles.mrk.json", FOUND, [accepted, found])
    return tmp_path / "needles.mrk.json"


@pytest.fixture
def ct_folder(tmp_path):
    values = np.random.default_rng(4).integers(-1000, 1500, (8, 40, 50)).astype(np.int16)
    write_series(tmp_path / "ct", values, axial_positions([5.0 * i for i in range(8)]))
    return tmp_path / "ct"


def files(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_everything_is_written_at_once_and_refers_to_the_ct(needles, markups, ct_folder, tmp_path):
    names = ("out.html", "struct.dcm", "sr.dcm", "out.csv")
    options = ("--report", "--rtstruct", "--sr", "--csv")
    outputs = [x for o, n in zip(options, names, strict=True) for x in (o, tmp_path / n)]
    code, out, err = needles("export", markups, "--ct", ct_folder, "--count", 3, *outputs)
    assert code == 0
    assert [line.rsplit("/")[-1] for line in out.splitlines()] == list(names)
    series = dcmread(min(ct_folder.iterdir())).SeriesInstanceUID
    for name in ("struct.dcm", "sr.dcm"):
        assert series in str(dcmread(tmp_path / name))
    assert len(srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()) == 2
    page = (tmp_path / "out.html").read_text()
    assert "2 needles, 1 fewer than the 3 expected." in page
    assert "data:image/png" in page
    assert "accepted by mueller" in page
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["accepted", "found"]


def test_the_report_names_the_patient(needles, markups, ct_folder, tmp_path):
    for path in ct_folder.iterdir():
        image = dcmread(path)
        image.PatientName, image.PatientID, image.StudyDate = "Muster^Max", "4711", "20260301"
        image.save_as(path)
    assert needles("export", markups, "--ct", ct_folder, "--report", tmp_path / "x.html")[0] == 0
    page = (tmp_path / "x.html").read_text()
    assert "Patient: <b>Muster, Max 4711</b>" in page
    assert "Study: <b>2026-03-01</b>" in page


def test_needles_are_held_against_a_plan(needles, markups, ct_file, tmp_path):
    planned = [replace(FOUND[0], id="P1"), replace(FOUND[1], tip_lps=(5.0, 8.0, 13.0), id="P2")]
    write_markups(tmp_path / "plan.mrk.json", planned)
    output = tmp_path / "x.html"
    code, *_ = needles(
        "export", markups, "--ct", ct_file, "--plan", tmp_path / "plan.mrk.json", "--report", output
    )
    assert code == 0
    assert "N02 is 8.0 mm from P2" in output.read_text()


def test_a_ct_that_is_no_dicom_is_no_obstacle_but_told(needles, markups, ct_file, tmp_path):
    code, _, err = needles("export", markups, "--ct", ct_file, "--rtstruct", tmp_path / "x.dcm")
    assert code == 0
    assert "did not come from DICOM" in err
    assert len(dcmread(tmp_path / "x.dcm").StructureSetROISequence) == 2


def test_needles_of_another_ct_are_told(needles, tmp_path, ct_file):
    far = [replace(FOUND[0], tip_lps=(0.0, 0.0, 900.0))]
    write_markups(tmp_path / "far.mrk.json", far)
    *_, err = needles(
        "export", tmp_path / "far.mrk.json", "--ct", ct_file, "--csv", tmp_path / "x.csv"
    )
    assert "Of N01 some lies outside the CT" in err


def test_a_report_without_a_ct_has_no_pictures_and_says_so(needles, markups, tmp_path):
    code, _, err = needles("export", markups, "--report", tmp_path / "x.html")
    assert code == 0
    assert "no pictures" in err
    assert "<img" not in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "Nothing to write"),
        (["--report", "x.pdf"], "must end in .html"),
        (["--rtstruct", "x.dcm", "--sr", "x.dcm"], "is an input or another output"),
        (["--ct", "none.nii.gz", "--csv", "x.csv"], "does not exist"),
        (["--plan", "none.mrk.json", "--csv", "x.csv"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    needles, markups, tmp_path, monkeypatch, options, problem
):
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    code, out, err = needles("export", markups, *options)
    assert (code, out) == (2, "")
    assert problem in err
    assert len(err.splitlines()) == 1
    assert files(tmp_path) == before


def test_with_all_needles_rejected_no_file_is_written(needles, tmp_path):
    rejected = ReviewLog().with_entry(ReviewState.rejected, "mueller")
    write_markups(tmp_path / "no.mrk.json", FOUND, [rejected] * 2)
    outputs = ["--rtstruct", tmp_path / "x.dcm", "--csv", tmp_path / "x.csv"]
    code, _, err = needles("export", tmp_path / "no.mrk.json", *outputs)
    assert code == 2
    assert "no needles to export" in err
    assert files(tmp_path) == {"no.mrk.json"}


def test_without_the_dicom_packages_the_rest_still_works(
    needles, markups, ct_folder, tmp_path, monkeypatch
):
    for module in ("needle_backend.cli.export", "needle_backend.export.dicom_reference"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None)
    code, _, err = needles("export", markups, "--ct", ct_folder, "--sr", tmp_path / "x.dcm")
    assert code == 2
    assert 'pip install "needle-backend[dicom]"' in err
    code, *_ = needles("export", markups, "--ct", ct_folder, "--report", tmp_path / "x.html")
    assert code == 0
