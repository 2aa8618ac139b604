"""The NeedleLocalization panel: what it shows of the needles found, and what it does with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import qt
import slicer

from needle_backend.core.needles import LocateResult, NeedleCount
from slicer_harness.needle_localization import (
    DOUBTED,
    IMPLANT,
    QuickLocalizer,
    cells,
    lines,
    result_of,
    save_picture,
)

# What is found


def test_apply_draws_the_needles_and_lists_them(chosen_panel, apply, pictures):
    result = result_of(DOUBTED, unmatched_tips=((1.0, 2.0, 3.0),), warnings=("CT read as it is.",))
    apply(chosen_panel, QuickLocalizer(result))
    assert [node.GetName() for node in lines()] == [needle.id for needle in DOUBTED]
    assert len(cells(chosen_panel)) == 16
    status = chosen_panel.ui.statusLabel.text
    assert "16 needles found; their number was estimated." in status
    assert "To check: 3, listed first." in status
    assert "Ends without a partner: tips 1, handles 0." in status
    assert "CT read as it is." in status
    save_picture(chosen_panel, pictures / "needle_localization.png")


def test_the_doubtful_needles_come_first_with_their_reasons(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    rows = cells(chosen_panel)
    assert [row[0] for row in rows[:4]] == ["N13", "N10", "N05", "N16"]
    assert (rows[0][3], rows[0][7]) == ("10 %", "the tip was seen on one slice only")
    assert rows[1][7] == "the shaft fades below 100 HU for 35 mm; length 141 mm, others 187 mm"
    assert all(row[7] == "" for row in rows[3:])


def test_no_needle_is_said_to_be_certain(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of((replace(IMPLANT[0], confidence=0.9999),))))
    assert cells(chosen_panel)[0][3] == ">99 %"


def test_an_unknown_confidence_is_not_made_up(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of((replace(IMPLANT[0], confidence=None),))))
    assert cells(chosen_panel)[0][3] == "–"


def test_a_row_shows_the_length_and_the_colour_of_its_line(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:1])))
    (line,) = lines()
    assert cells(chosen_panel)[0][1] == f"{line.GetLineLengthWorld():.1f}"
    swatch = chosen_panel.ui.needleTable.item(0, 0).data(qt.Qt.DecorationRole)
    colour = line.GetDisplayNode().GetSelectedColor()
    np.testing.assert_allclose(swatch.getRgbF()[:3], colour, atol=1 / 255)


def test_no_needles_is_said_plainly(chosen_panel, apply, dialogs):
    apply(chosen_panel, QuickLocalizer(result_of(())))
    assert chosen_panel.ui.statusLabel.text.startswith("0 needles found")
    assert not lines()
    assert not dialogs


def test_fewer_than_asked_for_is_said_plainly(chosen_panel, apply):
    result = LocateResult(IMPLANT[:2], NeedleCount(5, estimated=False))
    apply(chosen_panel, QuickLocalizer(result))
    assert chosen_panel.ui.statusLabel.text == "2 of 5 needles found."


def test_what_reading_had_to_change_is_said(chosen_panel, apply, volume_node):
    turned = np.array([[0.9962, -0.0872, 0], [0.0872, 0.9962, 0], [0, 0, 1]])
    volume_node.SetIJKToRASDirections(*(turned @ np.diag([-1, -1, 1])).ravel())
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:1])))
    assert "tilted by 5.0 degrees" in chosen_panel.ui.statusLabel.text


def test_what_the_user_chooses_reaches_the_localizer(chosen_panel, apply):
    from NeedleLocalizationLib.self_test import GivenNeedles

    localizer = GivenNeedles()
    chosen_panel.ui.needleCountSpinBox.value = 17
    chosen_panel.ui.lengthSpinBox.value = 150
    chosen_panel.ui.toleranceSpinBox.value = 20
    chosen_panel.ui.deviceComboBox.currentIndex = 1
    apply(chosen_panel, localizer)
    ((_volume, options),) = localizer.asked
    assert (options.count, options.length_mm, options.length_tolerance_mm) == (17, 150.0, 20.0)
    assert options.device == "cpu"


def test_the_count_is_automatic_until_one_is_given(chosen_panel, apply):
    from NeedleLocalizationLib.self_test import GivenNeedles

    localizer = GivenNeedles()
    assert chosen_panel.ui.needleCountSpinBox.text == "automatic (estimated)"
    apply(chosen_panel, localizer)
    assert localizer.asked[0][1].count is None


# The table and the views


def test_selecting_a_row_jumps_to_that_needles_tip(chosen_panel, apply, scene):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    red = scene.AddNode(slicer.vtkMRMLSliceNode())
    chosen_panel.ui.needleTable.selectRow(1)
    centre = [red.GetSliceToRAS().GetElement(i, 3) for i in range(3)]
    x, y, z = DOUBTED[9].tip_lps
    np.testing.assert_allclose(centre, (-x, -y, z), atol=1e-6)


def test_the_table_follows_needles_that_are_moved_or_removed(
    chosen_panel, apply, wait_until, scene
):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    first = lines()[0]
    scene.RemoveNode(lines()[2])
    first.SetNthControlPointPositionWorld(0, first.GetNthControlPointPositionWorld(1))
    wait_until(lambda: len(cells(chosen_panel)) == 2)
    assert "0.0" in [row[1] for row in cells(chosen_panel)]


def test_the_selection_stays_with_its_needle_when_the_table_changes(
    chosen_panel, apply, wait_until, scene
):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    names = [row[0] for row in cells(chosen_panel)]
    chosen_panel.ui.needleTable.selectRow(2)
    scene.RemoveNode(slicer.util.getNode(names[0]))
    wait_until(lambda: len(cells(chosen_panel)) == 2)
    (row,) = {item.row() for item in chosen_panel.ui.needleTable.selectedItems()}
    assert cells(chosen_panel)[row][0] == names[2]


def test_numbers_in_the_views_can_be_hidden(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:2])))
    chosen_panel.ui.numbersCheckBox.checked = False
    assert not any(node.GetDisplayNode().GetPropertiesLabelVisibility() for node in lines())
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:2])))
    assert not any(node.GetDisplayNode().GetPropertiesLabelVisibility() for node in lines())


def test_each_volume_shows_its_own_needles(chosen_panel, apply, wait_until, volume_node):
    from NeedleLocalizationLib.self_test import add_example_volume

    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    chosen_panel.ui.volumeSelector.setCurrentNode(add_example_volume("second CT"))
    wait_until(lambda: cells(chosen_panel) == [])
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:1])))
    assert len(lines()) == 4
    chosen_panel.ui.volumeSelector.setCurrentNode(volume_node)
    wait_until(lambda: len(cells(chosen_panel)) == 3)


# What stays


def test_the_choices_are_kept_with_the_scene(panel, volume_node, scene, tmp_path):
    from slicer_harness.scene_files import load_mrb, save_mrb

    panel.ui.volumeSelector.setCurrentNode(volume_node)
    panel.ui.needleCountSpinBox.value = 12
    panel.ui.deviceComboBox.currentIndex = 1
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    assert panel.ui.needleCountSpinBox.value == 0
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    assert panel.ui.needleCountSpinBox.value == 12
    assert panel.ui.deviceComboBox.currentText == "cpu"
    assert panel.ui.volumeSelector.currentNode().GetName() == "CT"


def test_opening_a_saved_scene_lists_its_needles(chosen_panel, apply, wait_until, scene, tmp_path):
    from slicer_harness.scene_files import load_mrb, save_mrb

    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    listed = cells(chosen_panel)
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    assert cells(chosen_panel) == []
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(chosen_panel)) == 16)
    assert cells(chosen_panel) == listed


def test_the_help_says_what_was_never_tested(needle_localization):
    text = needle_localization.parent.helpText
    for honest in ("simulated CT only", "no clinical case has been tested", "not a medical device"):
        assert honest in text
