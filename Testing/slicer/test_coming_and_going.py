"""Modules opened and left, scenes closed, volumes removed: nothing is left over, and all agrees."""

from __future__ import annotations

import pytest
import qt
import slicer
from PySide6 import QtTest

from slicer_harness.needle_localization import (
    DOUBTED,
    IMPLANT,
    QuickLocalizer,
    assert_scene_and_table_agree,
    cells,
    lines,
    result_of,
    row_of,
    select,
)

LONE = {"unmatched_tips": ((20.0, 25.0, 6.0),), "unmatched_handles": ((21.0, 24.0, -178.0),)}


@pytest.fixture
def reviewed(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED, **LONE)))
    return chosen_panel


def observer_count(panel, scene):
    """Count the scene's observers and those of the panel's parts; a node does not tell its own."""
    review = panel._review
    parts = (panel, panel._following, review._drawing._placing, review._comparing)
    return str(scene).count("vtkObserver (") + sum(len(part.Observations) for part in parts)


def test_a_panel_that_is_gone_hears_of_no_parameter(needle_localization, scene, capfd):
    panel = needle_localization.open()
    parameters = panel._parameters
    needle_localization.close(panel)
    slicer.qtApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    parameters.needle_count = 7
    assert "Traceback" not in capfd.readouterr().err


def test_a_hundred_visits_and_closed_scenes_leave_no_observer_and_no_node(panel, scene, apply):
    from NeedleLocalizationLib.self_test import add_example_volume

    def visit():
        panel.enter()
        panel.ui.volumeSelector.setCurrentNode(add_example_volume())
        apply(panel, QuickLocalizer(result_of(DOUBTED[:2], **LONE)))
        select(panel, "N01")
        panel.ui.alongButton.click()
        panel.ui.editButton.click()
        panel.exit()
        scene.Clear(0)

    visit()
    observers, nodes = observer_count(panel, scene), scene.GetNumberOfNodes()
    for _ in range(100):
        visit()
    assert observer_count(panel, scene) == observers
    assert scene.GetNumberOfNodes() == nodes
    assert panel._review._observer._tags == {}
    assert panel._review._shortcuts._shortcuts == []
    assert_scene_and_table_agree(panel)


def test_needles_are_observed_by_nobody_once_the_module_is_closed(
    needle_localization, volume_node, apply
):
    widget = needle_localization.open()
    apply(widget, QuickLocalizer(result_of(DOUBTED)))
    assert [is_observed(line) for line in lines()] == [True] * 16
    needle_localization.close(widget)
    assert [is_observed(line) for line in lines()] == [False] * 16


def is_observed(line):
    events = (line.PointStartInteractionEvent, line.PointEndInteractionEvent)
    return any(line.HasObserver(event) for event in events)


def test_closing_the_scene_while_needles_are_looked_for_leaves_all_in_agreement(
    reviewed, start, wait_until, scene
):
    start(reviewed)
    scene.Clear(0)
    assert_scene_and_table_agree(reviewed)
    wait_until(lambda: reviewed.ui.applyButton.text == "Apply")
    assert_scene_and_table_agree(reviewed)
    assert cells(reviewed) == []
    assert not reviewed.ui.undoButton.enabled


def test_removing_the_volume_while_needles_are_looked_for_leaves_all_in_agreement(
    reviewed, start, wait_until, scene, volume_node
):
    start(reviewed)
    scene.RemoveNode(volume_node)
    assert_scene_and_table_agree(reviewed)
    wait_until(lambda: reviewed.ui.applyButton.text == "Apply")
    assert_scene_and_table_agree(reviewed)
    assert cells(reviewed) == []


def test_the_same_volume_run_twice_can_be_undone(reviewed, apply):
    before = cells(reviewed)
    apply(reviewed, QuickLocalizer(result_of(IMPLANT[:3])))
    assert_scene_and_table_agree(reviewed)
    assert len(lines()) == 3
    reviewed.ui.undoButton.click()
    assert_scene_and_table_agree(reviewed)
    assert sorted(cells(reviewed)) == sorted(before)


def test_a_second_run_keeps_what_a_person_did_when_told_so(reviewed, apply, monkeypatch):
    select(reviewed, "N13")
    reviewed.ui.acceptButton.click()
    select(reviewed, "N05")
    reviewed.ui.swapButton.click()
    asked = []
    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
    for name in ("confirmOkCancelDisplay", "confirmYesNoDisplay"):
        monkeypatch.setattr(slicer.util, name, lambda text, **options: asked.append(text) or True)
    apply(reviewed, QuickLocalizer(result_of(IMPLANT)))
    assert "2 needles were accepted, added or edited. Keep them?" in asked[1]
    assert_scene_and_table_agree(reviewed)
    states = {row[0]: row[4] for row in cells(reviewed)}
    assert (states["N13"], states["N05"]) == ("accepted", "edited")
    # N05 was turned round, so the needle found there is another one, under a number of its own.
    assert len(states) == 17


def test_each_volume_has_its_own_history(reviewed, apply, volume_node):
    from NeedleLocalizationLib.self_test import add_example_volume

    select(reviewed, "N05")
    reviewed.ui.deleteButton.click()
    reviewed.ui.volumeSelector.setCurrentNode(add_example_volume("second CT"))
    assert_scene_and_table_agree(reviewed)
    assert not reviewed.ui.undoButton.enabled
    reviewed.ui.volumeSelector.setCurrentNode(volume_node)
    reviewed.ui.undoButton.click()
    assert len(cells(reviewed)) == 16
    assert_scene_and_table_agree(reviewed)


# Keys


@pytest.fixture
def press(reviewed):
    """Press keys while the panel's window has the focus."""
    reviewed.parent.show()
    reviewed.parent.activateWindow()
    QtTest.QTest.qWaitForWindowActive(reviewed.parent)

    def press_key(key, modifier=qt.Qt.NoModifier):
        QtTest.QTest.keyClick(reviewed.ui.needleTable, key, modifier)
        slicer.app.processEvents()

    return press_key


def test_a_review_needs_no_mouse(reviewed, press):
    press(qt.Qt.Key_N)
    press(qt.Qt.Key_A)
    press(qt.Qt.Key_R)
    press(qt.Qt.Key_P)
    states = {row[0]: row[4] for row in cells(reviewed)}
    assert (states["N13"], states["N10"]) == ("accepted", "rejected")
    assert reviewed.ui.needleTable.currentRow() == row_of(reviewed, "N10")
    press(qt.Qt.Key_Delete)
    assert "N10" not in [row[0] for row in cells(reviewed)]
    press(qt.Qt.Key_Z, qt.Qt.ControlModifier)
    assert "N10" in [row[0] for row in cells(reviewed)]
    press(qt.Qt.Key_Z, qt.Qt.ControlModifier | qt.Qt.ShiftModifier)
    assert "N10" not in [row[0] for row in cells(reviewed)]
    assert_scene_and_table_agree(reviewed)


def test_keys_turn_slices_along_and_across_the_needle(reviewed, press):
    press(qt.Qt.Key_N)
    press(qt.Qt.Key_L)
    press(qt.Qt.Key_X)
    assert reviewed.ui.alongButton.checked
    assert reviewed.ui.acrossButton.checked
    press(qt.Qt.Key_X)
    assert not reviewed.ui.acrossButton.checked


def test_keys_mean_nothing_once_the_module_is_left(reviewed, press):
    press(qt.Qt.Key_N)
    reviewed.exit()
    press(qt.Qt.Key_Delete)
    assert len(cells(reviewed)) == 16
