"""Needles found become line markups that Slicer keeps, and markup files become lines in Slicer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from needle_backend.core.markups import read_markups, write_markups
from needle_backend.core.needles import LocateOptions, LocateResult, Needle, NeedleCount
from slicer_harness.scene_files import load_mrb, save_mrb

NEEDLES = (
    Needle((1.5, -2.25, 3.0), (4.0, -5.0, -180.0), score=12.5, confidence=0.875, id="N01"),
    Needle(
        (9.0, 0.0, 1.0), (9.5, 3.0, -150.0), score=0.1, doubts=('bent; "see" <5 mm> µ',), id="N02"
    ),
)


@pytest.fixture
def lib(needle_localization):
    """The module's parts; importable once Slicer has loaded the module."""
    from NeedleLocalizationLib import needle_nodes, self_test

    return needle_nodes, self_test


@pytest.fixture
def volume_node(scene, lib):
    return lib[1].add_example_volume()


@pytest.fixture
def nodes(volume_node, lib):
    return draw(lib, volume_node, NEEDLES)


def draw(lib, volume_node, needles):
    found = LocateResult(tuple(needles), NeedleCount(len(needles), estimated=True))
    lib[0].write_implant(volume_node, lib[0].implant_of_result(volume_node, found))
    return lib[0].needle_nodes_of(volume_node)


def hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def linear_transform(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(matrix, float)))
    return node


def test_the_tip_comes_first_and_lies_in_ras(nodes):
    np.testing.assert_array_equal(
        slicer.util.arrayFromMarkupsControlPoints(nodes[0], world=True),
        [[-1.5, 2.25, 3.0], [-4.0, 5.0, -180.0]],
    )
    assert [nodes[0].GetNthControlPointLabel(i) for i in range(2)] == ["T", "H"]


def test_a_needle_reads_back_from_its_node_as_it_was(nodes, lib):
    assert tuple(lib[0].needle_from_node(node) for node in nodes) == NEEDLES


def test_a_drawn_needle_cannot_be_dragged_nor_does_it_show_its_length(nodes):
    assert all(node.GetNthControlPointLocked(i) for node in nodes for i in range(2))
    assert not any(node.GetMeasurement("length").GetEnabled() for node in nodes)


def test_every_needle_has_its_own_colour_and_shows_its_number(nodes):
    displays = [node.GetDisplayNode() for node in nodes]
    assert displays[0].GetSelectedColor() != displays[1].GetSelectedColor()
    assert all(display.GetColor() == display.GetSelectedColor() for display in displays)
    assert all(display.GetPropertiesLabelVisibility() for display in displays)


def test_needles_lie_in_a_folder_beside_their_volume(volume_node, nodes):
    items = {hierarchy().GetItemParent(hierarchy().GetItemByDataNode(node)) for node in nodes}
    (folder,) = items
    assert hierarchy().GetItemName(folder) == "CT needles"
    beside = hierarchy().GetItemParent(hierarchy().GetItemByDataNode(volume_node))
    assert hierarchy().GetItemParent(folder) == beside


def test_removing_needles_leaves_nothing_of_them(scene, volume_node, lib):
    from NeedleLocalizationLib.implant import Implant

    before = scene.GetNumberOfNodes()
    draw(lib, volume_node, NEEDLES)
    lib[0].write_implant(volume_node, Implant())
    assert scene.GetNumberOfNodes() == before
    assert not hierarchy().GetItemByName("CT needles")


def test_no_needles_leave_no_empty_folder(volume_node, lib):
    assert draw(lib, volume_node, ()) == []
    assert not hierarchy().GetItemByName("CT needles")


def test_when_one_needle_cannot_be_drawn_none_is(scene, volume_node, lib):
    before = scene.GetNumberOfNodes()
    unusable = Needle(("left", 0.0, 0.0), (0.0, 0.0, 0.0), id="N02")
    with pytest.raises((TypeError, ValueError)):
        draw(lib, volume_node, [NEEDLES[0], unusable])
    assert scene.GetNumberOfNodes() == before
    assert not hierarchy().GetItemByName("CT needles")


def test_needles_found_under_a_transform_lie_where_the_volume_is_seen(volume_node, lib):
    needle_nodes, _self_test = lib
    moved = linear_transform([[0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 7], [0, 0, 0, 1]])
    volume_node.SetAndObserveTransformNodeID(moved.GetID())
    nodes = draw(lib, volume_node, NEEDLES)
    world = [needle_nodes.needle_from_node(node) for node in nodes]
    for found, drawn in zip(NEEDLES, world, strict=True):
        np.testing.assert_allclose(drawn.tip_lps, found.tip_lps, atol=1e-9)
        np.testing.assert_allclose(drawn.handle_lps, found.handle_lps, atol=1e-9)


def test_needles_follow_their_volume_when_it_is_moved(volume_node, lib):
    transform = linear_transform(np.eye(4))
    volume_node.SetAndObserveTransformNodeID(transform.GetID())
    (node, _) = draw(lib, volume_node, NEEDLES)
    shift = np.eye(4)
    shift[:3, 3] = 10, 20, 30
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    np.testing.assert_allclose(lib[0].needle_from_node(node).tip_lps, (-8.5, -22.25, 33.0))


def test_a_scene_file_keeps_all_that_is_known_of_a_needle(scene, nodes, lib, tmp_path):
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    (volume_node,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    loaded = lib[0].needle_nodes_of(volume_node)
    assert tuple(lib[0].needle_from_node(node) for node in loaded) == NEEDLES
    assert all(node.GetNthControlPointLocked(i) for node in loaded for i in range(2))
    folder = hierarchy().GetItemParent(hierarchy().GetItemByDataNode(loaded[0]))
    assert hierarchy().GetItemName(folder) == "CT needles"


def test_slicer_opens_the_backends_file_as_one_line_per_needle(scene, tmp_path):
    path = tmp_path / "needles.mrk.json"
    write_markups(path, NEEDLES)
    slicer.modules.markups.logic().LoadMarkups(str(path))
    lines = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    assert [line.GetName() for line in lines] == ["N01", "N02"]
    for line, needle in zip(lines, NEEDLES, strict=True):
        tip, handle = slicer.util.arrayFromMarkupsControlPoints(line) * (-1, -1, 1)
        np.testing.assert_allclose(tip, needle.tip_lps, atol=1e-6)
        np.testing.assert_allclose(handle, needle.handle_lps, atol=1e-6)
        assert needle.length_mm == pytest.approx(line.GetLineLengthWorld(), abs=1e-6)
    known = json.loads(lines[1].GetNthControlPointDescription(0))
    assert known["doubts"] == list(NEEDLES[1].doubts)


def test_slicer_opens_the_file_of_a_case_without_needles_as_an_empty_list(scene, tmp_path):
    path = tmp_path / "needles.mrk.json"
    write_markups(path, [])
    messages = slicer.vtkMRMLMessageCollection()
    assert slicer.modules.markups.logic().LoadMarkups(str(path), None, messages)
    assert messages.GetNumberOfMessages() == 0
    (opened,) = slicer.util.getNodesByClass("vtkMRMLMarkupsNode")
    assert (opened.GetName(), opened.GetNumberOfControlPoints()) == ("No needles", 0)
    assert read_markups(path) == ()


def test_selecting_a_needle_centres_every_slice_view_on_its_tip(scene, nodes, needle_localization):
    from NeedleLocalizationLib.needle_nodes import world_ends_ras
    from NeedleLocalizationLib.slice_views import jump_to

    slices = []
    for name in ("Red", "Yellow"):
        slice_node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        slice_node.UnRegister(None)
        slice_node.SetName(name)
        slice_node.SetLayoutName(name)
        slices.append(scene.AddNode(slice_node))
    jump_to(world_ends_ras(nodes[1])[0])
    for slice_node in slices:
        centre = [slice_node.GetSliceToRAS().GetElement(i, 3) for i in range(3)]
        np.testing.assert_allclose(centre, (-9.0, 0.0, 1.0), atol=1e-6)


def test_a_run_asks_the_localizer_for_what_was_chosen(volume_node, lib):
    from NeedleLocalizationLib.logic import NeedleLocalizationLogic

    localizer = lib[1].GivenNeedles()
    options = LocateOptions(count=2, length_mm=150.0, device="cpu")
    NeedleLocalizationLogic(localizer).locate(volume_node, options)
    ((volume, asked),) = localizer.asked
    assert asked == options
    assert volume.source == "CT"


def test_a_line_saved_by_slicer_still_says_why_it_is_doubtful(nodes, tmp_path):
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetFileName(str(tmp_path / "N02.mrk.json"))
    assert storage.WriteData(nodes[1])
    (read,) = read_markups(tmp_path / "N02.mrk.json")
    assert read == NEEDLES[1]
