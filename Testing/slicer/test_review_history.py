"""Who changed what about a needle, and when: told by every file the needles go out in."""

from __future__ import annotations

import csv
import getpass
from datetime import UTC, datetime, timedelta

import pytest
import slicer

from needle_backend.core.markups import read_reviewed_markups
from needle_backend.core.quality import QualityLimits
from needle_backend.core.review_log import ReviewState
from slicer_harness.needle_localization import DOUBTED, QuickLocalizer, cells, result_of, select
from slicer_harness.scene_files import load_mrb, save_mrb

DONE = [
    (ReviewState.edited, "tip moved by 3.0 mm"),
    (ReviewState.edited, "renumbered from N05"),
    (ReviewState.accepted, ""),
]


@pytest.fixture
def reviewed(chosen_panel, apply):
    """N05's tip was moved in a view, it was renamed to N55, and accepted."""
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    line = select(chosen_panel, "N05")
    r, a, s = line.GetNthControlPointPosition(0)
    line.SetNthControlPointPosition(0, r, a, s + 3.0)
    slicer.app.processEvents()
    line.SetName("N55")
    slicer.app.processEvents()
    select(chosen_panel, "N55")
    chosen_panel.ui.acceptButton.click()
    return chosen_panel


def assert_tells_all(log):
    assert [(entry.state, entry.what) for entry in log.entries] == DONE
    for entry in log.entries:
        assert entry.by == getpass.getuser()
        assert datetime.now(UTC) - datetime.fromisoformat(entry.at) < timedelta(minutes=5)


def export(volume_node, format_, path):
    from NeedleLocalizationLib.export_files import FORMATS, export_needles

    export_needles(path, FORMATS[format_], volume_node, QualityLimits())


def test_a_markups_file_that_slicer_saves_tells_it(reviewed, tmp_path):
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetFileName(str(tmp_path / "N55.mrk.json"))
    assert storage.WriteData(slicer.util.getNode("N55"))
    (read,) = read_reviewed_markups(tmp_path / "N55.mrk.json")
    assert_tells_all(read.log)


def test_the_exported_markups_and_table_tell_it(reviewed, volume_node, tmp_path):
    export(volume_node, 0, tmp_path / "needles.mrk.json")
    logs = {r.needle.id: r.log for r in read_reviewed_markups(tmp_path / "needles.mrk.json")}
    assert_tells_all(logs["N55"])
    export(volume_node, 1, tmp_path / "needles.csv")
    with (tmp_path / "needles.csv").open(newline="", encoding="utf-8") as file:
        history = {row["id"]: row["history"] for row in csv.DictReader(file)}
    assert history["N55"] == logs["N55"].in_words()
    assert history["N01"] == ""


def test_a_saved_scene_keeps_it(reviewed, scene, tmp_path, wait_until):
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(reviewed)) == 16)
    volume_node = reviewed.ui.volumeSelector.currentNode()
    export(volume_node, 0, tmp_path / "needles.mrk.json")
    logs = {r.needle.id: r.log for r in read_reviewed_markups(tmp_path / "needles.mrk.json")}
    assert_tells_all(logs["N55"])
    select(reviewed, "N55")
    assert "tip moved by 3.0 mm" in reviewed.ui.needleLabel.text


def test_renumbering_by_a_button_is_told_without_changing_a_state(reviewed, volume_node, tmp_path):
    reviewed.ui.renumberButton.click()
    export(volume_node, 0, tmp_path / "needles.mrk.json")
    told = read_reviewed_markups(tmp_path / "needles.mrk.json")
    assert sum("renumbered from N55" in item.log.in_words() for item in told) == 1
    (renumbered,) = (item for item in told if "N55" in item.log.in_words())
    assert renumbered.log.state is ReviewState.accepted
