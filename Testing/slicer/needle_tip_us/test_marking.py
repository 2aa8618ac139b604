"""NeedleTipUS marks the tip of a stream in the scene, and says what it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from needle_backend.us.tips import TrackOptions
from slicer_harness.live_tip import (
    LOST,
    SEEN,
    lines_visible,
    tip_ras,
)


def test_the_tip_becomes_a_point_where_the_images_lie(running, stream, show):
    for x in (60, 61, 62):
        show(running, stream, (x, 40))
    assert running.ui.stateLabel.text == SEEN
    np.testing.assert_allclose(tip_ras(), (40 - 0.5 * 62, 30 - 0.5 * 40, 5.0), atol=0.5)
    assert {"Needle tip box", "Needle tip trail"} <= set(lines_visible())


def test_the_red_view_shows_the_stream_face_on_unless_another_one_does(
    panel, stream, red_view, scene
):
    slice_node, composite = red_view
    stream.SetIJKToRASDirections(0, 0, 1, 1, 0, 0, 0, -1, 0)  # a sagittal picture
    panel.ui.volumeSelector.setCurrentNode(stream)
    panel.ui.startButton.click()
    assert composite.GetBackgroundVolumeID() == stream.GetID()
    normal = [slice_node.GetSliceToRAS().GetElement(axis, 2) for axis in range(3)]
    assert np.abs(normal) == pytest.approx((1.0, 0.0, 0.0))


def test_lines_are_drawn_in_no_view_but_those_that_show_the_stream(running, stream, show, red_view):
    _slice_node, composite = red_view
    for _ in range(3):
        show(running, stream, (60, 40))
    box = slicer.util.getNode("Needle tip box").GetDisplayNode()
    assert tuple(box.GetViewNodeIDs()) == ("vtkMRMLSliceNodeRed",)
    composite.SetBackgroundVolumeID(None)
    show(running, stream, (60, 40))
    assert not box.GetVisibility()


def test_the_point_moves_with_the_transform_that_the_images_lie_under(running, stream, show, scene):
    probe = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "ProbeToReference")
    matrix = np.eye(4)
    matrix[:3, 3] = 100.0, 0.0, -20.0
    probe.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    stream.SetAndObserveTransformNodeID(probe.GetID())
    for _ in range(3):
        show(running, stream, (60, 40))
    np.testing.assert_allclose(tip_ras(), (110.0, 10.0, -15.0), atol=0.1)


def test_a_tip_that_is_seen_no_more_is_predicted_then_lost(running, stream, show, wait_until):
    for _ in range(3):
        show(running, stream, (60, 40))
    show(running, stream, None)
    assert running.ui.stateLabel.text == "tip not seen, predicted"
    assert tip_ras() is not None
    wait_until(lambda: show(running, stream, None) or running.ui.stateLabel.text == LOST)
    assert tip_ras() is None
    assert not {"Needle tip box", "Needle tip trail"} & set(lines_visible())


def test_without_association_every_detection_is_shown_at_once(running, stream, show):
    running.ui.associationCheckBox.checked = False
    show(running, stream, (60, 40))
    assert running.ui.stateLabel.text == SEEN
    show(running, stream, None)
    assert running.ui.stateLabel.text == LOST


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ("top and bottom swapped", np.flipud),
        ("left and right swapped", np.fliplr),
        ("turned by 180 degrees", np.rot90),
    ],
)
def test_turned_images_give_the_same_place(running, stream, show, orientation, turn):
    """The spot is where it is, however the image is turned before it is looked at."""
    choices = running.ui.orientationComboBox
    choices.currentIndex = [choices.itemText(i) for i in range(choices.count)].index(orientation)
    for _ in range(3):
        show(running, stream, (60, 40))
    np.testing.assert_allclose(tip_ras(), (10.0, 10.0, 5.0), atol=0.1)


def test_only_the_region_is_looked_at(running, stream, show):
    ui = running.ui
    ui.automaticRegionCheckBox.checked = False
    ui.leftSpinBox.value, ui.topSpinBox.value = 80, 10
    ui.rightSpinBox.value, ui.bottomSpinBox.value = 150, 110
    for _ in range(3):
        show(running, stream, (60, 40))
    assert ui.stateLabel.text == LOST
    for _ in range(3):
        show(running, stream, (100, 40))
    np.testing.assert_allclose(tip_ras(), (-10.0, 10.0, 5.0), atol=0.1)


def test_the_region_found_is_shown_in_numbers(running):
    ui = running.ui
    assert (ui.leftSpinBox.value, ui.topSpinBox.value) == (0, 0)
    assert (ui.rightSpinBox.value, ui.bottomSpinBox.value) == (160, 120)
    assert "Ultrasound region" in lines_visible()
    ui.regionVisibleCheckBox.checked = False
    assert "Ultrasound region" not in lines_visible()


def test_trail_and_region_can_be_hidden(running, stream, show):
    running.ui.trailCheckBox.checked = False
    running.ui.regionVisibleCheckBox.checked = False
    for x in (60, 61, 62):
        show(running, stream, (x, 40))
    assert lines_visible() == ["Needle tip box"]
    running.ui.trailCheckBox.checked = True
    running.ui.regionVisibleCheckBox.checked = True
    show(running, stream, (63, 40))
    assert set(lines_visible()) == {"Needle tip box", "Needle tip trail", "Ultrasound region"}


def test_the_outline_of_the_region_has_the_colour_of_the_state(running, stream, show):
    from NeedleTipUSLib.tip_nodes import COLOURS

    outline = slicer.util.getNode("Ultrasound region").GetDisplayNode()
    assert outline.GetColor() == COLOURS["lost"]
    for _ in range(3):
        show(running, stream, (60, 40))
    assert outline.GetColor() == COLOURS["detected"]
    show(running, stream, None)
    assert outline.GetColor() == COLOURS["predicted"]


def test_the_distance_to_a_target_is_in_millimetres(running, stream, show, scene):
    target = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "lesion")
    target.AddControlPointWorld(10.0, 10.0 - 12.0, 5.0)
    running.ui.targetSelector.setCurrentNode(target)
    for _ in range(3):
        show(running, stream, (60, 40))
    assert running.ui.distanceLabel.text == "12.0 mm to the target"


def test_the_distance_is_in_pixels_where_images_are_not_calibrated(running, stream, show, scene):
    target = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "lesion")
    target.AddControlPointWorld(60.0, 70.0, 0.0)
    running.ui.targetSelector.setCurrentNode(target)
    stream.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.eye(4)))
    for _ in range(3):
        show(running, stream, (60, 40))
    assert running.ui.distanceLabel.text == "30 px to the target"


def test_rates_and_latency_are_shown(running, stream, show, wait_until):
    for _ in range(5):
        show(running, stream, (60, 40))
    wait_until(lambda: "latency" in running.ui.statisticsLabel.text)
    assert "images/s" in running.ui.statisticsLabel.text
    assert "0 dropped" in running.ui.statisticsLabel.text


def test_what_answers_is_told(running, stream, show, wait_until):
    show(running, stream, (60, 40))
    wait_until(lambda: "answers of brightness" in running.ui.statisticsLabel.text)


def test_images_that_are_overtaken_are_dropped_and_counted(running, stream, wait_until):
    from NeedleTipUSLib.example_stream import example_frame, send

    slow = example_frame(None)
    slow[10, 10] = 252
    for _ in range(12):
        send(stream, slow)
        wait_until(lambda: not running.logic.tracking._watch._timer.isActive())
    statistics = running.logic.tracking.statistics
    wait_until(lambda: statistics.dropped + statistics.answered == 13)
    assert statistics.dropped > 5


def test_what_the_user_chooses_reaches_the_backend(needle_tip_us, stream, wait_until):
    from NeedleTipUSLib.example_stream import BrightestPixel

    panel, backend = needle_tip_us.open(), BrightestPixel()
    panel.logic.use(lambda: backend)
    panel.ui.volumeSelector.setCurrentNode(stream)
    panel.ui.thresholdSpinBox.value = 0.45
    panel.ui.modelComboBox.currentIndex = 0
    panel.ui.deviceComboBox.currentIndex = 1
    panel.ui.weightsLineEdit.text = "mine.safetensors"
    panel.ui.associationCheckBox.checked = False
    panel.ui.startButton.click()
    wait_until(lambda: bool(backend.asked))
    _frame, options = backend.asked[0]
    assert options == TrackOptions("mine.safetensors", "cpu", 0.45, "yolot")
    needle_tip_us.close(panel)


def test_an_answer_that_is_too_late_is_not_shown_once_there_is_a_newer_image(
    running, stream, wait_until
):
    from NeedleTipUSLib.example_stream import example_frame, send

    running.ui.associationCheckBox.checked = False
    running.ui.budgetSpinBox.value = 100
    tracking, said = running.logic.tracking, []
    tracking._listener = replace(tracking._listener, on_notice=said.append)
    slow = example_frame(None)
    slow[10, 10] = 252
    count = tracking.statistics.answered

    def is_told_while_newer_images_come():
        send(stream, slow)
        return any("take longer than 100 ms" in notice for notice in said)

    wait_until(is_told_while_newer_images_come)
    assert tracking.statistics.answered == count
    assert tracking.statistics.dropped >= 1
    wait_until(lambda: tracking.statistics.answered == count + 1)  # the newest is shown


def test_the_help_says_what_was_never_tested(needle_tip_us):
    text = needle_tip_us.parent.helpText
    for honest in (
        "simulated punctures",
        "real needles",
        "the faint one in 10 of 65",
        "not a medical device",
    ):
        assert honest in text


def test_it_is_found_where_the_other_module_is(needle_tip_us, needle_localization):
    assert needle_tip_us.parent.categories == needle_localization.parent.categories == ["IGT"]
    assert needle_tip_us.parent.icon.availableSizes()
