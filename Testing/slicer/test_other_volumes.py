"""Needles of one CT at a time: those of others are hidden while they are not wanted."""

from __future__ import annotations

import pytest
import slicer

from slicer_harness.needle_localization import (
    IMPLANT,
    QuickLocalizer,
    assert_scene_and_table_agree,
    result_of,
    row_of,
)
from slicer_harness.scene_files import load_mrb, save_mrb


@pytest.fixture
def two_cts(chosen_panel, volume_node, apply):
    """The panel on the second of two CTs with needles and lone ends."""
    from NeedleLocalizationLib.self_test import add_example_volume

    found = QuickLocalizer(result_of(IMPLANT[:3], unmatched_tips=((20.0, 25.0, 6.0),)))
    apply(chosen_panel, found)
    second = add_example_volume("second CT")
    chosen_panel.ui.volumeSelector.setCurrentNode(second)
    apply(chosen_panel, found)
    return chosen_panel


def seen_of(name, among="vtkMRMLMarkupsLineNode"):
    """Tell of each needle of a volume whether slice views and 3D show it."""
    volume_id = slicer.util.getNode(name).GetID()
    displays = [
        node.GetDisplayNode()
        for node in slicer.util.getNodesByClass(among)
        if node.GetNodeReferenceID("NeedleGuide.volume") == volume_id
    ]
    return [(bool(d.GetVisibility2D()), bool(d.GetVisibility3D())) for d in displays]


SEEN, HIDDEN = (True, True), (False, False)


def test_only_the_needles_of_the_chosen_ct_are_seen(two_cts, volume_node):
    assert (seen_of("CT"), seen_of("second CT")) == ([HIDDEN] * 3, [SEEN] * 3)
    assert seen_of("CT", "vtkMRMLMarkupsFiducialNode") == [HIDDEN]
    two_cts.ui.volumeSelector.setCurrentNode(volume_node)
    assert (seen_of("CT"), seen_of("second CT")) == ([SEEN] * 3, [HIDDEN] * 3)
    assert_scene_and_table_agree(two_cts)


def test_all_are_seen_when_they_are_wanted(two_cts):
    two_cts.ui.othersCheckBox.checked = True
    assert seen_of("CT") + seen_of("second CT") == [SEEN] * 6
    two_cts.ui.othersCheckBox.checked = False
    assert seen_of("CT") == [HIDDEN] * 3


def test_all_are_seen_when_the_module_is_left_and_again_one_ct_when_it_is_entered(
    two_cts, wait_until
):
    two_cts.exit()
    assert seen_of("CT") + seen_of("second CT") == [SEEN] * 6
    two_cts.enter()
    wait_until(lambda: seen_of("CT") == [HIDDEN] * 3)


def test_a_needle_that_a_person_hid_stays_hidden(two_cts, volume_node):
    two_cts.ui.needleTable.cellClicked.emit(row_of(two_cts, "N02"), 5)
    second = two_cts.ui.volumeSelector.currentNode()
    two_cts.ui.volumeSelector.setCurrentNode(volume_node)
    two_cts.ui.volumeSelector.setCurrentNode(second)
    slicer.app.processEvents()
    hidden = [
        node.GetName()
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        if not node.GetDisplayNode().GetVisibility()
    ]
    assert hidden == ["N02"]
    assert_scene_and_table_agree(two_cts)


def test_a_reopened_scene_shows_the_needles_of_the_chosen_ct(two_cts, scene, tmp_path, wait_until):
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: two_cts.ui.needleTable.rowCount == 3)
    assert (seen_of("CT"), seen_of("second CT")) == ([HIDDEN] * 3, [SEEN] * 3)
    two_cts.ui.othersCheckBox.checked = True
    assert seen_of("CT") == [SEEN] * 3
