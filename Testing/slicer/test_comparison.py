"""Needles held against an earlier CT, planned lines and a colleague's: chosen, shown and kept."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import qt
import slicer

from needle_backend.core.markups import write_markups
from needle_backend.core.needles import as_point
from slicer_harness.needle_localization import (
    IMPLANT,
    QuickLocalizer,
    assert_scene_and_table_agree,
    cells,
    lines,
    result_of,
    row_of,
    save_picture,
    select,
)
from slicer_harness.scene_files import load_mrb, save_mrb

PLAN, REFERENCE, CHANGE = 8, 9, 10


def moved(needle, way, id=""):
    tip, handle = (as_point(np.add(end, way)) for end in (needle.tip_lps, needle.handle_lps))
    return replace(needle, tip_lps=tip, handle_lps=handle, id=id or needle.id)


@pytest.fixture
def found(chosen_panel, apply):
    """The panel with eight needles."""
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:8])))
    return chosen_panel


@pytest.fixture
def second_ct(found, apply):
    """The panel on a second CT: N03 is gone, N05 was pushed in by 8 mm, one needle is new."""
    from NeedleLocalizationLib.self_test import add_example_volume

    found.ui.volumeSelector.setCurrentNode(add_example_volume("second CT"))
    again = [moved(n, (0.3, -0.2, 0.1)) for n in IMPLANT[:8] if n.id != "N03"]
    again[3] = moved(IMPLANT[4], (0.0, 0.0, 8.0))
    again.append(moved(IMPLANT[15], (0.0, 0.0, 0.0)))
    numbered = [replace(n, id=f"N{i:02d}") for i, n in enumerate(reversed(again), start=1)]
    apply(found, QuickLocalizer(result_of(tuple(numbered))))
    return found


@pytest.fixture
def choose():
    """Choose an entry of a list as a user does."""

    def activate(combo, text):
        index = [combo.itemText(i) for i in range(combo.count)].index(text)
        combo.currentIndex = index
        combo.activated.emit(index)

    return activate


@pytest.fixture
def load(monkeypatch):
    """Choose a file of lines."""

    def click(button, path):
        monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: str(path))
        button.click()

    return click


def note(panel, number, column):
    return panel.ui.needleTable.item(row_of(panel, number), column)


def by_tip(panel, needle):
    """Return the number of the line that lies where a needle does."""
    at = np.array(needle.tip_lps) * (-1, -1, 1)
    volume = panel.ui.volumeSelector.currentNode()
    own = [n for n in lines() if n.GetNodeReferenceID("NeedleGuide.volume") == volume.GetID()]
    return min(own, key=lambda n: np.linalg.norm(n.GetNthControlPointPosition(0) - at)).GetName()


def colours(numbers, volume):
    return {
        line.GetName(): line.GetDisplayNode().GetSelectedColor()
        for line in lines()
        if line.GetNodeReferenceID("NeedleGuide.volume") == volume.GetID()
        and line.GetName() in numbers
    }


# An earlier CT


def test_needles_of_a_second_ct_get_the_numbers_and_colours_of_the_first(
    second_ct, choose, volume_node
):
    assert by_tip(second_ct, IMPLANT[0]) == "N08"
    choose(second_ct.ui.earlierComboBox, "CT")
    kept = [needle for needle in IMPLANT[:8] if needle.id != "N03"]
    assert [by_tip(second_ct, needle) for needle in kept] == [needle.id for needle in kept]
    assert by_tip(second_ct, IMPLANT[15]) == "N09"
    numbers = {needle.id for needle in kept}
    second = second_ct.ui.volumeSelector.currentNode()
    assert colours(numbers, second) == colours(numbers, volume_node)
    assert_scene_and_table_agree(second_ct)


def test_what_changed_since_the_first_ct_is_told(second_ct, choose):
    choose(second_ct.ui.earlierComboBox, "CT")
    assert second_ct.ui.comparisonLabel.text.splitlines() == [
        "Against the CT before: 6 still, 1 moved, 1 new, 1 gone.",
        "N03 is gone.",
        "N05 moved: tip by 8.0 mm (8.0 mm deeper), handle by 8.0 mm.",
        "N09 is new.",
    ]
    assert note(second_ct, "N05", CHANGE).text() == "8.0"
    assert note(second_ct, "N09", CHANGE).text() == "new"
    assert "8.0 mm deeper" in note(second_ct, "N05", CHANGE).toolTip()


def test_taking_over_numbers_can_be_undone(second_ct, choose):
    before = sorted(row[0] for row in cells(second_ct))
    choose(second_ct.ui.earlierComboBox, "CT")
    assert second_ct.ui.statusLabel.text == "Numbers and colours were taken over from CT."
    assert second_ct.ui.undoButton.toolTip == "Undo: take over the numbers of CT (Ctrl+Z)"
    second_ct.ui.undoButton.click()
    assert sorted(row[0] for row in cells(second_ct)) == before
    assert_scene_and_table_agree(second_ct)


def test_a_second_run_keeps_to_the_earlier_numbers(second_ct, choose, apply):
    choose(second_ct.ui.earlierComboBox, "CT")
    again = tuple(replace(n, id=f"N{20 - i}") for i, n in enumerate(IMPLANT[:4]))
    apply(second_ct, QuickLocalizer(result_of(again)))
    assert [by_tip(second_ct, needle) for needle in IMPLANT[:4]] == ["N01", "N02", "N03", "N04"]


def test_a_rejected_needle_of_the_first_ct_is_none_to_be_missed(
    second_ct, choose, volume_node, wait_until
):
    second = second_ct.ui.volumeSelector.currentNode()
    second_ct.ui.volumeSelector.setCurrentNode(volume_node)
    select(second_ct, "N03")
    second_ct.ui.rejectButton.click()
    second_ct.ui.volumeSelector.setCurrentNode(second)
    choose(second_ct.ui.earlierComboBox, "CT")
    assert "gone" not in second_ct.ui.comparisonLabel.text


def test_an_earlier_ct_with_two_needles_of_a_number_is_told_and_changes_nothing(
    second_ct, choose, volume_node
):
    first = [
        n for n in lines() if n.GetNodeReferenceID("NeedleGuide.volume") == volume_node.GetID()
    ]
    first[0].SetName("N02")
    before = sorted(cells(second_ct))
    choose(second_ct.ui.earlierComboBox, "CT")
    assert sorted(cells(second_ct)) == before
    said = "2 needles of the first CT are called N02; number them first."
    assert second_ct.ui.comparisonLabel.text == second_ct.ui.statusLabel.text == said


def test_removing_the_earlier_ct_ends_the_comparison(second_ct, choose, scene, volume_node):
    choose(second_ct.ui.earlierComboBox, "CT")
    scene.RemoveNode(volume_node)
    slicer.app.processEvents()
    assert second_ct.ui.earlierComboBox.currentText == "none"
    assert second_ct.ui.comparisonLabel.text == ""
    assert second_ct.ui.needleTable.isColumnHidden(CHANGE)


# Planned lines


@pytest.fixture
def planned(found, load, tmp_path):
    """A plan of nine lines from a file: P1 to P8 are 3 mm deeper than the needles, P9 is missed."""
    plan = [moved(n, (0.0, 0.0, 3.0), f"P{i}") for i, n in enumerate(IMPLANT[:8], start=1)]
    plan.append(moved(IMPLANT[15], (0.0, 30.0, 0.0), "P9"))
    write_markups(tmp_path / "plan.mrk.json", plan)
    load(found.ui.planFileButton, tmp_path / "plan.mrk.json")
    return found


def test_every_needle_tells_how_far_it_is_off_its_plan(planned):
    assert planned.ui.planComboBox.currentText == "plan"
    assert {note(planned, f"N0{i}", PLAN).text() for i in range(1, 9)} == {"3.0"}
    assert note(planned, "N02", PLAN).toolTip().startswith("N02 is 3.0 mm from P2 (3.0 mm short")
    assert_scene_and_table_agree(planned)


def test_the_selected_needle_tells_how_it_is_off(planned):
    select(planned, "N02")
    assert planned.ui.needleLabel.text == (
        "N02: N02 is 3.0 mm from P2 (3.0 mm short, 0.0 mm aside, 0°)"
    )


def test_the_summary_holds_the_count_against_the_plan(planned):
    text = planned.ui.summaryLabel.text
    assert "8 needles, 1 fewer than the 9 expected." in text
    assert "Planned, but no needle there: P9." in text
    assert "Tips lie 3.0 mm from their planned places on average" in text


def test_planned_lines_are_no_needles(planned, tmp_path):
    from NeedleLocalizationLib.needle_nodes import needle_nodes_of

    assert len(lines()) == 17
    assert len(cells(planned)) == 8
    assert len(needle_nodes_of(planned.ui.volumeSelector.currentNode())) == 8
    assert all(line.GetLocked() for line in lines() if line.GetName().startswith("P"))


def test_moving_a_planned_line_changes_the_deviation(planned, wait_until):
    line = slicer.util.getNode("P2")
    x, y, z = IMPLANT[1].tip_lps
    line.SetNthControlPointPosition(0, -x, -y, z + 5.0)
    wait_until(lambda: note(planned, "N02", PLAN).text() == "5.0")


def test_dragging_a_needle_changes_its_deviation(planned, wait_until):
    x, y, z = IMPLANT[1].tip_lps
    slicer.util.getNode("N02").SetNthControlPointPosition(0, -x, -y, z + 2.0)
    wait_until(lambda: note(planned, "N02", PLAN).text() == "1.0")


def test_the_plan_is_held_against_the_needles_where_they_are_seen(planned, wait_until):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[2, 3] = 2.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    volume_node = planned.ui.volumeSelector.currentNode()
    for node in (volume_node, *(line for line in lines() if line.GetName().startswith("N"))):
        node.SetAndObserveTransformNodeID(transform.GetID())
    planned.enter()
    wait_until(lambda: note(planned, "N02", PLAN).text() == "1.0")


def test_removing_the_plan_removes_its_column(planned, scene, wait_until):
    for line in [line for line in lines() if line.GetName().startswith("P")]:
        scene.RemoveNode(line)
    wait_until(lambda: planned.ui.needleTable.isColumnHidden(PLAN))
    assert planned.ui.planComboBox.currentText == "none"
    assert "expected" not in planned.ui.summaryLabel.text


def test_a_click_on_the_plans_header_sorts_by_deviation(found, load, tmp_path):
    plan = [moved(n, (0, 0, float(i)), f"P{i}") for i, n in enumerate(IMPLANT[:7], start=1)]
    write_markups(tmp_path / "plan.mrk.json", plan)
    load(found.ui.planFileButton, tmp_path / "plan.mrk.json")
    found.ui.needleTable.horizontalHeader().sectionClicked.emit(PLAN)
    assert [row[0] for row in cells(found)] == [f"N0{i}" for i in range(1, 9)]
    assert note(found, "N08", PLAN).text() == "–"


@pytest.mark.parametrize("content", ["no markups", '{"markups": []}'])
def test_a_file_without_lines_is_told_and_the_scene_kept(
    found, load, tmp_path, dialogs, scene, content
):
    (tmp_path / "plan.mrk.json").write_text(content)
    before = scene.GetNumberOfNodes()
    load(found.ui.planFileButton, tmp_path / "plan.mrk.json")
    assert "give a .mrk.json of lines from the tip to the handle" in dialogs[0]
    assert scene.GetNumberOfNodes() == before
    assert found.ui.planComboBox.currentText == "none"


# A reference set


def test_lines_of_a_folder_in_the_scene_serve_as_reference(found, choose):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "by Dr. Weber")
    for needle in IMPLANT[:6]:
        line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", f"W{needle.id}")
        for x, y, z in (needle.tip_lps, needle.handle_lps):
            line.AddControlPoint(-x, -y + 1.5, z)
        hierarchy.CreateItem(folder, line)
    slicer.app.processEvents()
    choose(found.ui.referenceComboBox, "by Dr. Weber")
    assert note(found, "N02", REFERENCE).text() == "1.5 / 1.5"
    assert note(found, "N08", REFERENCE).text() == "–"
    assert found.ui.comparisonLabel.text.splitlines() == [
        "6 of 6 reference needles found, 2 false; mean error 1.5 mm at the tips, 1.5 mm at the "
        "handles.",
        "Not in the reference: N07, N08.",
    ]
    assert_scene_and_table_agree(found)


# What stays, and what goes out


def test_a_saved_scene_keeps_the_comparisons(
    second_ct, choose, load, scene, wait_until, tmp_path, pictures
):
    write_markups(tmp_path / "plan.mrk.json", [moved(n, (0, 0, 3.0)) for n in IMPLANT[:8]])
    write_markups(tmp_path / "by Weber.mrk.json", [moved(n, (0, 1, 0)) for n in IMPLANT[:8]])
    choose(second_ct.ui.earlierComboBox, "CT")
    load(second_ct.ui.planFileButton, tmp_path / "plan.mrk.json")
    load(second_ct.ui.referenceFileButton, tmp_path / "by Weber.mrk.json")
    second_ct.ui.comparisonCollapsibleButton.collapsed = False
    save_picture(second_ct, pictures / "needle_localization_compared.png")
    before, told = sorted(cells(second_ct)), second_ct.ui.comparisonLabel.text
    assert len(before[0]) == 11
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(second_ct)) == 8)
    slicer.app.processEvents()
    assert sorted(cells(second_ct)) == before
    assert second_ct.ui.comparisonLabel.text == told
    assert_scene_and_table_agree(second_ct)


def test_the_exported_table_and_report_tell_the_comparisons(
    second_ct, choose, load, tmp_path, monkeypatch
):
    choose(second_ct.ui.earlierComboBox, "CT")
    write_markups(tmp_path / "plan.mrk.json", [moved(n, (0, 0, 3.0)) for n in IMPLANT[:8]])
    load(second_ct.ui.planFileButton, tmp_path / "plan.mrk.json")
    for index, name in ((1, "needles.csv"), (2, "needles.html")):
        monkeypatch.setattr(
            qt.QFileDialog, "getSaveFileName", lambda *a, name=name: str(tmp_path / name)
        )
        second_ct.ui.formatComboBox.currentIndex = index
        second_ct.ui.exportButton.click()
    with (tmp_path / "needles.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert (rows["N05"]["change"], rows["N05"]["moved_deeper_mm"][:3]) == ("moved", "8.0")
    assert rows["N01"]["planned_id"] == "N01"
    html = (tmp_path / "needles.html").read_text(encoding="utf-8")
    assert "N05 moved: tip by 8.0 mm" in html
    assert "Off plan" in html


def test_a_hundred_visits_with_comparisons_leave_no_observer(
    panel, scene, apply, choose, load, tmp_path
):
    from NeedleLocalizationLib.self_test import add_example_volume

    write_markups(tmp_path / "plan.mrk.json", IMPLANT[:3])

    def visit():
        for name in ("first", "second"):
            panel.ui.volumeSelector.setCurrentNode(add_example_volume(name))
            apply(panel, QuickLocalizer(result_of(IMPLANT[:3])))
        load(panel.ui.planFileButton, tmp_path / "plan.mrk.json")
        choose(panel.ui.earlierComboBox, "first")
        scene.Clear(0)

    visit()
    nodes = scene.GetNumberOfNodes()
    for _ in range(10):
        visit()
    assert scene.GetNumberOfNodes() == nodes
    assert len(panel._review._comparing.Observations) == 0
