"""Needles drawn with the picture's help on the sample CT: dragged, snapped, added by one click."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from needle_backend.core.needles import number_needles
from needle_backend.core.truth import read_truth
from slicer_harness.needle_localization import (
    assert_scene_and_table_agree,
    cells,
    lines,
    result_of,
    row_of,
    select,
)
from slicer_harness.picture_localizer import PictureLocalizer
from slicer_harness.slice_view import SliceView

LENGTH, SURE, STATE, DOUBTS = 1, 3, 4, 7


@pytest.fixture
def truth(needle_localization):
    from NeedleLocalizationLib.sample_data import TRUTH

    return number_needles(read_truth(TRUTH))


@pytest.fixture
def volume_node(scene, needle_localization):
    from NeedleLocalizationLib.sample_data import SAMPLE

    return SAMPLE.load()


@pytest.fixture
def drawn(chosen_panel, apply, truth):
    """The panel with the sample's needles but the last one."""
    apply(chosen_panel, PictureLocalizer(result_of(truth[:-1])))
    return chosen_panel


@pytest.fixture
def red(drawn, volume_node):
    view = SliceView("Red", "Axial", volume_node)
    yield view
    view.close()


def ends_of(line):
    return np.array([line.GetNthControlPointPositionWorld(i) for i in range(2)])


def ras(point_lps):
    return np.array(point_lps) * (-1, -1, 1)


def off_axis_mm(point, tip, handle):
    axis = (handle - tip) / np.linalg.norm(handle - tip)
    gap = point - tip
    return np.linalg.norm((gap - (gap @ axis) * axis)[:2])


# While an end is dragged


def test_while_an_end_is_dragged_length_score_and_doubts_follow(drawn, wait_until):
    line = select(drawn, "N03")
    drawn.ui.editButton.click()
    slicer.app.processEvents()
    tip, handle = ends_of(line)
    line.InvokeEvent(line.PointStartInteractionEvent)
    line.SetNthControlPointPositionWorld(0, *(tip + (1.0, 0.0, 0.0)))
    wait_until(lambda: "log-odds" in drawn.ui.needleLabel.text)
    assert "fits this needle poorly" not in cells(drawn)[row_of(drawn, "N03")][DOUBTS]
    line.SetNthControlPointPositionWorld(0, *(tip + (30.0, 30.0, 0.0)))
    row = cells(drawn)[row_of(drawn, "N03")]
    assert float(row[LENGTH]) == pytest.approx(line.GetLineLengthWorld(), abs=0.06)
    assert row[SURE] == "–"
    wait_until(lambda: "fits this needle poorly" in cells(drawn)[row_of(drawn, "N03")][DOUBTS])
    line.SetNthControlPointPositionWorld(0, *tip)
    wait_until(lambda: "fits this needle poorly" not in cells(drawn)[row_of(drawn, "N03")][DOUBTS])
    line.InvokeEvent(line.PointEndInteractionEvent)
    assert_scene_and_table_agree(drawn)


def test_a_drag_is_one_step_however_long_it_was(drawn, red, wait_until):
    line = select(drawn, "N03")
    drawn.ui.editButton.click()
    tip, _handle = ends_of(line)
    red.node.JumpSliceByCentering(*tip)
    red.drag(tip, tip + (6.0, 4.0, 0.0))
    assert_scene_and_table_agree(drawn)
    wait_until(lambda: float(line.GetAttribute("NeedleGuide.score")) != 0.0)
    drawn.ui.undoButton.click()
    np.testing.assert_allclose(ends_of(line)[0], tip)
    assert_scene_and_table_agree(drawn)


def test_closing_the_scene_in_the_middle_of_a_drag_leaves_nothing(drawn, scene):
    line = select(drawn, "N03")
    line.InvokeEvent(line.PointStartInteractionEvent)
    line.SetNthControlPointPositionWorld(0, 0.0, 0.0, 0.0)
    scene.Clear(0)
    for _ in range(20):
        drawn.logic.backend().poll()
        slicer.app.processEvents()
    assert not lines()
    assert cells(drawn) == []


# Snapping


def test_snapping_lays_a_needle_onto_its_shaft_and_can_be_undone(drawn, truth, wait_until):
    line = select(drawn, "N03")
    tip, handle = ends_of(line)
    line.SetNthControlPointPositionWorld(0, *(tip + (2.5, 0.0, 0.0)))
    line.SetNthControlPointPositionWorld(1, *(handle + (-2.0, 0.0, 0.0)))
    assert_scene_and_table_agree(drawn)
    moved = ends_of(line)
    drawn.ui.snapButton.click()
    wait_until(lambda: drawn.ui.statusLabel.text == "N03 lies on its shaft now.")
    assert_scene_and_table_agree(drawn)
    assert off_axis_mm(ends_of(line)[0], tip, handle) < 0.8
    assert cells(drawn)[row_of(drawn, "N03")][STATE] == "edited"
    wait_until(lambda: float(line.GetAttribute("NeedleGuide.score")) > 0.0)
    drawn.ui.undoButton.click()
    np.testing.assert_allclose(ends_of(line), moved)
    assert_scene_and_table_agree(drawn)


def test_snapping_works_under_a_transform(drawn, volume_node, scene, wait_until):
    import vtk

    line = select(drawn, "N03")
    tip, handle = ends_of(line)
    matrix = vtk.vtkMatrix4x4()
    for row, shift_mm in enumerate((20.0, -35.0, 12.0)):
        matrix.SetElement(row, 3, shift_mm)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    for node in (volume_node, *lines()):
        node.SetAndObserveTransformNodeID(transform.GetID())
    line.SetNthControlPointPosition(0, *(tip + (2.5, 0.0, 0.0)))
    assert_scene_and_table_agree(drawn)
    drawn.ui.snapButton.click()
    wait_until(lambda: drawn.ui.statusLabel.text == "N03 lies on its shaft now.")
    assert off_axis_mm(np.array(line.GetNthControlPointPosition(0)), tip, handle) < 0.8


def test_where_there_is_no_shaft_the_panel_says_so_and_nothing_moves(drawn, wait_until):
    line = select(drawn, "N03")
    tip, handle = ends_of(line)
    line.SetNthControlPointPositionWorld(0, *(tip + (70.0, 0.0, 0.0)))
    line.SetNthControlPointPositionWorld(1, *(handle + (70.0, 0.0, 0.0)))
    assert_scene_and_table_agree(drawn)
    moved = ends_of(line)
    drawn.ui.snapButton.click()
    wait_until(lambda: "No shaft is seen near this needle" in drawn.ui.statusLabel.text)
    np.testing.assert_array_equal(ends_of(line), moved)


def test_a_needle_deleted_while_its_shaft_is_looked_for_stays_deleted(drawn, wait_until):
    select(drawn, "N03")
    drawn.ui.snapButton.click()
    drawn.ui.deleteButton.click()
    for _ in range(100):
        drawn.logic.backend().poll()
    assert_scene_and_table_agree(drawn)
    assert "N03" not in {line.GetName() for line in lines()}


# Adding


def test_one_click_on_a_tip_adds_the_whole_needle(drawn, red, truth, wait_until):
    tip, handle = ras(truth[-1].tip_lps), ras(truth[-1].handle_lps)
    before = slicer.mrmlScene.GetNumberOfNodes()
    red.node.JumpSliceByCentering(*tip)
    drawn.ui.addByTipButton.click()
    assert drawn.ui.addByTipButton.text == "Stop adding"
    assert drawn.ui.addButton.text == "Add"
    red.click(tip)
    wait_until(lambda: "was added" in drawn.ui.statusLabel.text)
    assert_scene_and_table_agree(drawn)
    assert drawn.ui.addByTipButton.text == "Add by tip"
    (added,) = [row for row in cells(drawn) if row[STATE] == "added"]
    found = ends_of(slicer.util.getNode(added[0]))
    assert np.linalg.norm(found[0] - tip) < 5.0
    assert np.linalg.norm(found[1] - handle) < 5.0
    drawn.ui.undoButton.click()
    assert_scene_and_table_agree(drawn)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_lone_handle_gets_its_tip_by_one_click(chosen_panel, apply, truth, wait_until):
    lone = result_of(truth[:-1], unmatched_handles=(truth[-1].handle_lps,))
    apply(chosen_panel, PictureLocalizer(lone))
    chosen_panel._review._drawing._find_handle(tuple(ras(truth[-1].tip_lps)))
    wait_until(lambda: "was added" in chosen_panel.ui.statusLabel.text)
    assert chosen_panel.ui.pairingCollapsibleButton.isHidden()
    assert_scene_and_table_agree(chosen_panel)
    chosen_panel.ui.undoButton.click()
    assert not chosen_panel.ui.pairingCollapsibleButton.isHidden()


def test_a_click_beside_all_needles_adds_nothing_and_says_what_to_do(drawn, red, wait_until):
    before = len(lines())
    nowhere = ras((100.0, 0.0, -40.0))
    red.node.JumpSliceByCentering(*nowhere)
    drawn.ui.addByTipButton.click()
    red.click(nowhere)
    wait_until(lambda: "add the needle by two clicks" in drawn.ui.statusLabel.text)
    assert len(lines()) == before
    assert_scene_and_table_agree(drawn)


def test_one_way_of_adding_takes_the_place_of_the_other(drawn):
    drawn.ui.addButton.click()
    drawn.ui.addByTipButton.click()
    assert drawn.ui.addButton.text == "Add"
    assert drawn.ui.addByTipButton.text == "Add by tip"
    assert_scene_and_table_agree(drawn)


def test_without_the_packages_nothing_is_looked_for(drawn, monkeypatch):
    from NeedleLocalizationLib import installation

    monkeypatch.setattr(installation, "missing_packages", lambda: ["torch>=2.4"])
    drawn.logic._backend = None
    select(drawn, "N03")
    drawn.ui.snapButton.click()
    assert "not installed: torch>=2.4" in drawn.ui.statusLabel.text
