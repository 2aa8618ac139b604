"""Reviewed needles leave Slicer as files, whole or not at all."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import qt

from needle_backend.core.markups import read_reviewed_markups
from needle_backend.core.review_log import ReviewState
from slicer_harness.needle_localization import DOUBTED, QuickLocalizer, result_of, select

MARKUPS, TABLE, REPORT, RTSTRUCT, STRUCTURED_REPORT = range(5)


@pytest.fixture
def reviewed(chosen_panel, apply):
    """Sixteen needles, N13 accepted, N10 rejected."""
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    select(chosen_panel, "N13")
    chosen_panel.ui.acceptButton.click()
    select(chosen_panel, "N10")
    chosen_panel.ui.rejectButton.click()
    return chosen_panel


@pytest.fixture
def export(monkeypatch):
    """Choose a format and a place, and click Export."""

    def choose_and_click(panel, format_, path):
        # As PythonQt gives it: the path alone.
        monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(path))
        panel.ui.formatComboBox.currentIndex = format_
        panel.ui.exportButton.click()
        return panel.ui.statusLabel.text

    return choose_and_click


def test_markups_keep_the_review(reviewed, export, tmp_path):
    assert export(reviewed, MARKUPS, tmp_path / "a.mrk.json").startswith("Written: ")
    read = read_reviewed_markups(tmp_path / "a.mrk.json")
    assert [item.needle.id for item in read] == [needle.id for needle in DOUBTED]
    states = {item.needle.id: item.log.state for item in read}
    assert (states["N13"], states["N10"]) == (ReviewState.accepted, ReviewState.rejected)
    np.testing.assert_allclose(read[0].needle.tip_lps, DOUBTED[0].tip_lps)


def test_a_missing_suffix_is_added(reviewed, export, tmp_path):
    export(reviewed, MARKUPS, tmp_path / "needles")
    assert (tmp_path / "needles.mrk.json").is_file()


def test_the_table_tells_every_needle_and_its_state(reviewed, export, tmp_path):
    export(reviewed, TABLE, tmp_path / "needles.csv")
    with (tmp_path / "needles.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + 16
    assert sum("accepted" in row for row in rows) == 1


def test_the_report_names_the_volume_and_its_needles(reviewed, export, tmp_path):
    assert export(reviewed, REPORT, tmp_path / "report.html").startswith("Written: ")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(needle.id in html for needle in DOUBTED)
    assert "data:image/png;base64," in html


@pytest.mark.parametrize(
    ("format_", "modality"), [(RTSTRUCT, "RTSTRUCT"), (STRUCTURED_REPORT, "SR")]
)
def test_dicom_says_that_it_names_no_patient(reviewed, export, tmp_path, format_, modality):
    pydicom = pytest.importorskip("pydicom")
    text = export(reviewed, format_, tmp_path / "needles.dcm")
    assert text.startswith("Written: ")
    assert "names no patient" in text
    assert pydicom.dcmread(tmp_path / "needles.dcm").Modality == modality


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(
    reviewed, export, tmp_path, dialogs
):
    (tmp_path / "file").touch()
    text = export(reviewed, TABLE, tmp_path / "file" / "needles.csv")
    assert dialogs == [text]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_needles_there_is_nothing_to_export(chosen_panel, export, tmp_path, dialogs):
    export(chosen_panel, TABLE, tmp_path / "needles.csv")
    assert dialogs == ["CT has no needles to export."]


def test_a_dialog_that_was_cancelled_writes_nothing(reviewed, export, tmp_path):
    before = reviewed.ui.statusLabel.text
    assert export(reviewed, MARKUPS, "") == before
