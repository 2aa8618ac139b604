"""A reviewer's session with mouse and buttons: scene, table and history agree at every step."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

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
from slicer_harness.scene_files import load_mrb, save_mrb
from slicer_harness.slice_view import SliceView

LONE_TIP, LONE_HANDLE = (20.0, 25.0, 6.0), (21.0, 24.0, -178.0)


@pytest.fixture
def reviewed(chosen_panel, apply):
    """The panel with sixteen needles, three of them doubtful, and two ends without a partner."""
    result = result_of(DOUBTED, unmatched_tips=(LONE_TIP,), unmatched_handles=(LONE_HANDLE,))
    apply(chosen_panel, QuickLocalizer(result))
    return chosen_panel


@pytest.fixture
def red(reviewed, volume_node):
    view = SliceView("Red", "Axial", volume_node)
    yield view
    view.close()


def tip_of(line):
    return np.array(line.GetNthControlPointPositionWorld(0))


def state(panel, number):
    return cells(panel)[row_of(panel, number)][4]


def test_every_step_of_a_session_can_be_undone_and_done_again(reviewed, red, wait_until):
    ui = reviewed.ui

    def drag(number):
        line = select(reviewed, number)
        ui.editButton.click()
        red.drag(tip_of(line), tip_of(line) + (3.0, -2.0, 0.0))

    def place():
        ui.addButton.click()
        red.click((30.0, 40.0, red.node.GetSliceOffset()))
        red.click((-20.0, -40.0, red.node.GetSliceOffset()))

    def press(button, number):
        select(reviewed, number)
        getattr(ui, f"{button}Button").click()

    steps = [
        lambda: drag("N13"),
        lambda: press("accept", "N13"),
        lambda: press("reject", "N10"),
        lambda: press("swap", "N05"),
        lambda: press("delete", "N01"),
        lambda: ui.needleTable.cellClicked.emit(row_of(reviewed, "N02"), 5),
        place,
        lambda: ui.pairButton.click(),
        lambda: press("delete", "N10"),
        ui.renumberButton.click,
        lambda: ui.acceptAllButton.click(),
        lambda: slicer.mrmlScene.RemoveNode(slicer.util.getNode("N03")),
        lambda: drag("N04"),
        lambda: slicer.util.getNode("N06").SetName("N77"),
        lambda: slicer.util.getNode("N07").GetDisplayNode().SetVisibility(False),
        lambda: press("reject", "N08"),
        lambda: press("accept", "N08"),
        lambda: press("delete", "N09"),
    ]
    seen = [cells_by_number(reviewed)]
    for step in steps:
        step()
        assert_scene_and_table_agree(reviewed)
        if cells_by_number(reviewed) != seen[-1]:
            seen.append(cells_by_number(reviewed))
    undone = 0
    while ui.undoButton.enabled and len(lines()):
        ui.undoButton.click()
        undone += 1
        assert_scene_and_table_agree(reviewed)
    assert undone >= 20
    assert not lines()
    while ui.redoButton.enabled:
        ui.redoButton.click()
        assert_scene_and_table_agree(reviewed)
    assert cells_by_number(reviewed) == seen[-1]


def cells_by_number(panel):
    return sorted(map(tuple, cells(panel)))


# With the mouse


def test_dragging_a_tip_moves_the_needle_and_has_it_judged_anew(reviewed, red, wait_until):
    line = select(reviewed, "N13")
    assert red.sees(tip_of(line))
    reviewed.ui.editButton.click()
    red.drag(tip_of(line), tip_of(line) + (10.0, 5.0, 0.0))
    x, y, z = IMPLANT[12].tip_lps
    np.testing.assert_allclose(tip_of(line), (-x + 10.0, -y + 5.0, z), atol=0.5)
    wait_until(lambda: state(reviewed, "N13") == "edited")
    row = cells(reviewed)[row_of(reviewed, "N13")]
    assert row[3] == "–"
    assert "the tip was seen on one slice only" not in row[7]
    # The stand-in scores the tip's place in L; it lies to the right, so the picture fits poorly.
    wait_until(lambda: float(line.GetAttribute("NeedleGuide.score")) < 0)
    assert_scene_and_table_agree(reviewed)
    assert "the picture fits this needle poorly" in cells(reviewed)[row_of(reviewed, "N13")][7]
    assert "tip moved by 11." in line.GetAttribute("NeedleGuide.log")


def test_a_locked_needle_is_not_dragged_but_answers_to_a_click(reviewed, red):
    line = select(reviewed, "N13")
    before = tip_of(line)
    red.drag(before, before + (10.0, 5.0, 0.0))
    np.testing.assert_array_equal(tip_of(line), before)
    select(reviewed, "N10")
    red.node.JumpSliceByCentering(*before)
    red.click(before)
    assert reviewed.ui.needleTable.currentRow() == row_of(reviewed, "N13")
    assert_scene_and_table_agree(reviewed)


def test_all_others_are_locked_while_one_is_edited(reviewed):
    line = select(reviewed, "N13")
    reviewed.ui.editButton.click()
    assert reviewed.ui.editButton.text == "Lock"
    assert not line.GetLocked()
    assert all(other.GetLocked() for other in lines() if other is not line)
    select(reviewed, "N10")
    reviewed.ui.editButton.click()
    assert [other.GetName() for other in lines() if not other.GetLocked()] == ["N10"]
    assert_scene_and_table_agree(reviewed)


def test_two_clicks_add_a_needle(reviewed, red, wait_until):
    select(reviewed, "N13")
    depth = red.node.GetSliceOffset()
    reviewed.ui.addButton.click()
    assert reviewed.ui.addButton.text == "Stop adding"
    red.click((30.0, 40.0, depth))
    red.click((-20.0, -40.0, depth))
    wait_until(lambda: len(cells(reviewed)) == 17)
    assert reviewed.ui.addButton.text == "Add"
    assert state(reviewed, "N17") == "added"
    np.testing.assert_allclose(tip_of(slicer.util.getNode("N17")), (30, 40, depth), atol=0.5)
    assert_scene_and_table_agree(reviewed)
    reviewed.ui.undoButton.click()
    assert_scene_and_table_agree(reviewed)
    assert len(lines()) == 16


def test_adding_can_be_given_up_and_leaves_nothing(reviewed, red):
    before = slicer.mrmlScene.GetNumberOfNodes()
    reviewed.ui.addButton.click()
    red.click((30.0, 40.0, red.node.GetSliceOffset()))
    reviewed.ui.addButton.click()
    slicer.app.processEvents()
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert_scene_and_table_agree(reviewed)


@pytest.mark.parametrize("has_views", [False, True])
def test_a_needle_moved_elsewhere_in_slicer_is_noticed_each_time(
    reviewed, volume_node, has_views, request
):
    if has_views:
        request.getfixturevalue("red")
    line = select(reviewed, "N13")
    for shift_mm in (5.0, 9.0, 14.0):
        tip = tip_of(line)
        line.SetNthControlPointPosition(0, *(tip + (shift_mm, 0.0, 0.0)))
        assert_scene_and_table_agree(reviewed)
    for _ in range(3):
        reviewed.ui.undoButton.click()
    assert state(reviewed, "N13") == "found"


def test_a_score_that_comes_late_takes_no_move_back(reviewed):
    panel = reviewed._review
    line = select(reviewed, "N13")
    before = next(each for each in panel._review.implant.needles if each.id == "N13")
    moved = tip_of(line) + (5.0, 0.0, 0.0)
    line.SetNthControlPointPosition(0, *moved)
    panel._on_scored(panel._review, before.uid, before.ends_ras, 3.0)
    slicer.app.processEvents()
    assert tip_of(line) == pytest.approx(moved)
    assert_scene_and_table_agree(reviewed)
    reviewed.ui.undoButton.click()
    assert state(reviewed, "N13") == "found"


# With the table's buttons


def test_a_deleted_needle_comes_back_as_it_was(reviewed):
    before = cells_by_number(reviewed)
    colour = select(reviewed, "N13").GetDisplayNode().GetSelectedColor()
    reviewed.ui.deleteButton.click()
    assert len(lines()) == 15
    reviewed.ui.undoButton.click()
    assert cells_by_number(reviewed) == before
    assert slicer.util.getNode("N13").GetDisplayNode().GetSelectedColor() == colour
    assert_scene_and_table_agree(reviewed)


def test_the_panel_says_what_was_undone(reviewed):
    select(reviewed, "N13")
    reviewed.ui.deleteButton.click()
    reviewed.ui.undoButton.click()
    assert reviewed.ui.statusLabel.text == "Undone: delete N13."


def test_accepting_goes_on_to_the_next_needle(reviewed):
    select(reviewed, "N13")
    reviewed.ui.acceptButton.click()
    assert state(reviewed, "N13") == "accepted"
    assert reviewed.ui.needleTable.currentRow() == row_of(reviewed, "N10")


def test_accept_all_leaves_doubtful_needles_when_nobody_agrees(reviewed):
    reviewed.ui.acceptAllButton.click()
    assert {row[0] for row in cells(reviewed) if row[4] == "found"} == {"N05", "N10", "N13"}


def test_accept_all_asks_about_open_doubts(reviewed, monkeypatch):
    asked = []
    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda text, **options: asked.append(text) or True
    )
    reviewed.ui.acceptAllButton.click()
    assert len(asked) == 1
    assert "N05, N10, N13" in asked[0]
    assert {row[4] for row in cells(reviewed)} == {"accepted"}


def test_ends_without_a_partner_become_a_needle(reviewed, wait_until):
    assert not reviewed.ui.pairingCollapsibleButton.isHidden()
    reviewed.ui.pairButton.click()
    assert_scene_and_table_agree(reviewed)
    x, y, z = LONE_TIP
    np.testing.assert_allclose(tip_of(slicer.util.getNode("N17")), (-x, -y, z))
    assert reviewed.ui.pairingCollapsibleButton.isHidden()
    reviewed.ui.undoButton.click()
    assert not reviewed.ui.pairingCollapsibleButton.isHidden()


def test_a_click_on_a_header_sorts_and_a_second_one_turns_the_order(reviewed):
    header = reviewed.ui.needleTable.horizontalHeader()
    header.sectionClicked.emit(1)
    lengths = [float(row[1]) for row in cells(reviewed)]
    assert lengths == sorted(lengths)
    header.sectionClicked.emit(1)
    lengths = [float(row[1]) for row in cells(reviewed)]
    assert lengths == sorted(lengths, reverse=True)
    assert_scene_and_table_agree(reviewed)


def test_the_summary_tells_what_is_open(reviewed):
    text = reviewed.ui.summaryLabel.text
    assert text.startswith("16 needles")
    assert "3 with open doubts" in text
    assert "Open doubts: N05, N10, N13." in text


def test_the_summary_holds_the_needles_against_the_number_given(reviewed):
    reviewed.ui.needleCountSpinBox.value = 18
    assert "2 fewer than the 18 expected" in reviewed.ui.summaryLabel.text


def test_the_selected_needle_tells_its_doubts_in_full(reviewed):
    select(reviewed, "N10")
    assert reviewed.ui.needleLabel.text == (
        "N10: the shaft fades below 100 HU for 35 mm; length 141 mm, others 187 mm"
    )
    reviewed.ui.rejectButton.click()
    select(reviewed, "N10")
    assert "rejected by" in reviewed.ui.needleLabel.text
    select(reviewed, "N01")
    assert reviewed.ui.needleLabel.text == ""


# What stays


def test_a_saved_scene_keeps_the_review(reviewed, scene, wait_until, tmp_path):
    select(reviewed, "N13")
    reviewed.ui.acceptButton.click()
    select(reviewed, "N10")
    reviewed.ui.rejectButton.click()
    before = cells_by_number(reviewed)
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    assert_scene_and_table_agree(reviewed)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(reviewed)) == 16)
    assert cells_by_number(reviewed) == before
    assert not reviewed.ui.pairingCollapsibleButton.isHidden()
    assert_scene_and_table_agree(reviewed)
