"""A volume that is put under a transform, moved with it or hardened takes its needles along."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from needle_backend.core.markups import write_markups
from slicer_harness.needle_localization import (
    DOUBTED,
    QuickLocalizer,
    assert_scene_and_table_agree,
    cells,
    lines,
    result_of,
    select,
)
from slicer_harness.scene_files import load_mrb, save_mrb

TURN = np.array([[0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 7], [0, 0, 0, 1]], float)
SHIFT = np.array([[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]], float)


@pytest.fixture
def found(chosen_panel, apply):
    lone = {"unmatched_tips": ((20.0, 25.0, 6.0),)}
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED, **lone)))
    chosen_panel.ui.skinCheckBox.checked = True
    return chosen_panel


def transform_by(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def tips():
    return np.array([line.GetNthControlPointPositionWorld(0) for line in lines()])


def moved(points, matrix):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def assert_only_moved(panel, before):
    """Nothing is said to have been edited."""
    assert_scene_and_table_agree(panel)
    assert sorted(cells(panel)) == before
    assert {row[4] for row in cells(panel)} == {"found"}


def test_needles_follow_into_a_transform_and_out_of_it(found, volume_node):
    before, at_first = sorted(cells(found)), tips()
    volume_node.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    np.testing.assert_allclose(tips(), moved(at_first, TURN), atol=1e-9)
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    nodes += slicer.util.getNodesByClass("vtkMRMLModelNode")
    assert {node.GetTransformNodeID() for node in nodes} == {volume_node.GetTransformNodeID()}
    assert_only_moved(found, before)
    volume_node.SetAndObserveTransformNodeID(None)
    np.testing.assert_allclose(tips(), at_first, atol=1e-9)
    assert_only_moved(found, before)


def test_needles_follow_a_transform_that_changes(found, volume_node):
    at_first, transform = tips(), transform_by(TURN)
    volume_node.SetAndObserveTransformNodeID(transform.GetID())
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(SHIFT))
    np.testing.assert_allclose(tips(), moved(at_first, SHIFT), atol=1e-9)
    volume_node.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    np.testing.assert_allclose(tips(), moved(at_first, TURN), atol=1e-9)


def test_hardening_leaves_needles_where_they_are_seen(found, volume_node):
    before, at_first = sorted(cells(found)), tips()
    volume_node.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    volume_node.HardenTransform()
    np.testing.assert_allclose(tips(), moved(at_first, TURN), atol=1e-6)
    assert {line.GetTransformNodeID() for line in lines()} == {None}
    assert_only_moved(found, before)
    volume_node.SetAndObserveTransformNodeID(transform_by(SHIFT).GetID())
    np.testing.assert_allclose(tips(), moved(moved(at_first, TURN), SHIFT), atol=1e-6)
    assert_only_moved(found, before)


def test_needles_are_edited_and_undone_after_hardening(found, volume_node):
    volume_node.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    volume_node.HardenTransform()
    before = tips()
    select(found, "N05")
    found.ui.swapButton.click()
    assert_scene_and_table_agree(found)
    found.ui.undoButton.click()
    np.testing.assert_allclose(tips(), before, atol=1e-6)
    assert_scene_and_table_agree(found)


def test_what_was_done_before_hardening_can_be_undone_after_it(found, volume_node):
    at_first = {line.GetName(): line.GetLineStartPositionWorld() for line in lines()}
    select(found, "N05")
    found.ui.swapButton.click()
    select(found, "N06")
    found.ui.deleteButton.click()
    volume_node.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    volume_node.HardenTransform()
    assert_scene_and_table_agree(found)
    for _ in range(2):
        found.ui.undoButton.click()
        assert_scene_and_table_agree(found)
    for line in lines():
        before = np.array([*at_first[line.GetName()]])
        now = np.array(line.GetNthControlPointPositionWorld(0))
        np.testing.assert_allclose(now, moved(before, TURN), atol=1e-6)
    assert {row[4] for row in cells(found)} == {"found"}
    for _ in range(2):
        found.ui.redoButton.click()
    assert sorted(row[0] for row in cells(found)) == sorted(set(at_first) - {"N06"})
    assert_scene_and_table_agree(found)


def test_a_volume_that_was_moved_in_its_header_hardens_all_the_same(found, volume_node):
    volume_node.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    volume_node.SetOrigin(1.0, 2.0, 3.0)
    before = tips()
    volume_node.HardenTransform()
    np.testing.assert_allclose(tips(), before, atol=1e-6)


def test_needles_of_other_volumes_stay(found):
    from NeedleLocalizationLib.self_test import add_example_volume

    other = add_example_volume("other")
    at_first = tips()
    other.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    np.testing.assert_array_equal(tips(), at_first)


def test_needles_of_a_reopened_scene_follow_too(found, scene, volume_node, tmp_path, wait_until):
    save_mrb(scene, tmp_path / "case.mrb")
    at_first = tips()
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(found)) == 16)
    reopened = found.ui.volumeSelector.currentNode()
    reopened.SetAndObserveTransformNodeID(transform_by(TURN).GetID())
    np.testing.assert_allclose(tips(), moved(at_first, TURN), atol=1e-6)


@pytest.fixture
def bent():
    """A transform that is not linear."""
    corners = np.array(np.meshgrid(*[[-200.0, 200.0]] * 3)).reshape(3, -1).T
    spline = vtk.vtkThinPlateSplineTransform()
    for set_landmarks, by_mm in ((spline.SetSourceLandmarks, 0), (spline.SetTargetLandmarks, 4)):
        points = vtk.vtkPoints()
        for i, corner in enumerate(corners):
            points.InsertNextPoint(corner + by_mm * (i % 3))
        set_landmarks(points)
    spline.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    node.SetAndObserveTransformToParent(spline)
    return node


def test_needles_under_a_bent_transform_are_compared_where_they_are_seen(
    found, volume_node, bent, tmp_path
):
    from NeedleLocalizationLib.comparing import Counterparts, choose_counterparts
    from NeedleLocalizationLib.line_sets import load_line_set, needle_of_line

    at_first = tips()
    volume_node.SetAndObserveTransformNodeID(bent.GetID())
    assert np.abs(tips() - at_first).max() > 1.0
    write_markups(tmp_path / "plan.mrk.json", [needle_of_line(line) for line in lines()])
    choose_counterparts(volume_node, Counterparts(plan=load_line_set(tmp_path / "plan.mrk.json")))
    found.enter()
    slicer.app.processEvents()
    assert {row[8] for row in cells(found)} == {"0.0"}
