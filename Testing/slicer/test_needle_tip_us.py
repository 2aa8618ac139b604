"""NeedleTipUS marks the tip of a stream in the scene, and survives whatever streams do."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import slicer

from needle_backend.service.client import SERVER, BackendClient
from needle_backend.us.track import Association, Tracker

TESTING = Path(__file__).parents[1]
PREDICTED_S = 3.0
SEEN, LOST = "tip seen, 83 %", "TIP LOST"


@pytest.fixture
def spot_work(monkeypatch, needle_tip_us):
    """Let the backend process run with work that takes bright spots for the tip."""
    from NeedleLocalizationLib import session_process

    server = (*SERVER, "--work", "slicer_harness.needle_tip_us:SpotWork")
    monkeypatch.setattr(session_process, "BackendClient", partial(BackendClient, server=server))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTING), str(TESTING.parent)]))
    yield
    session_process.end_session_process()


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch, needle_tip_us):
    """Let images come as slowly as a busy machine shows them."""
    from NeedleTipUSLib import tracking

    patient = partial(Tracker, association=Association(longest_prediction_s=PREDICTED_S))
    monkeypatch.setattr(tracking, "Tracker", patient)
    monkeypatch.setattr(tracking, "STALLED_S", 10.0)


@pytest.fixture
def panel(spot_work, needle_tip_us, scene):
    widget = needle_tip_us.open()
    widget.ui.budgetSpinBox.value = 10_000
    yield widget
    needle_tip_us.close(widget)


@pytest.fixture(autouse=True)
def red_view(scene):
    """The nodes of the red slice view, as Slicer's window makes them."""
    made = []
    for node in (slicer.vtkMRMLSliceNode(), slicer.vtkMRMLSliceCompositeNode()):
        node.SetSingletonTag("Red")
        node.SetLayoutName("Red")
        made.append(scene.AddNode(node))
    yield made
    for node in made:
        scene.RemoveNode(node)


@pytest.fixture
def stream(scene, needle_tip_us):
    from NeedleTipUSLib.example_stream import add_example_stream

    return add_example_stream()


@pytest.fixture
def show(wait_until):
    """Show an image, its spot at a place; wait until the panel has taken its answer."""

    def show_and_wait(panel, stream, tip_xy, frame=None):
        from NeedleTipUSLib.example_stream import example_frame, send

        statistics = panel.logic.tracking.statistics
        count = statistics.answered
        send(stream, example_frame(tip_xy) if frame is None else frame)
        wait_until(lambda: panel.logic.tracking is None or statistics.answered > count)

    return show_and_wait


@pytest.fixture
def running(panel, stream, wait_until):
    """The panel, tracking the stream, whose first image was looked at."""
    panel.ui.volumeSelector.setCurrentNode(stream)
    panel.ui.startButton.click()
    wait_until(lambda: panel.ui.stateLabel.text == LOST)
    return panel


def tip_ras():
    """Return where the scene's tip is; None when it is nowhere."""
    from NeedleTipUSLib.tip_nodes import find_tip_node

    node = find_tip_node()
    if node is None or node.GetNumberOfDefinedControlPoints() == 0:
        return None
    return np.array([*node.GetNthControlPointPositionWorld(0)])


def lines_visible():
    return [
        node.GetName()
        for node in slicer.util.getNodesByClass("vtkMRMLModelNode")
        if node.GetDisplayNode().GetVisibility()
    ]


def processes():
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
        and "needle_backend.service.server" in child.cmdline()
    ]


def is_observed(node):
    return node.HasObserver("ModifiedEvent") or node.HasObserver(node.ImageDataModifiedEvent)


# What it does


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
    panel.ui.deviceComboBox.currentIndex = 1
    panel.ui.weightsLineEdit.text = "mine.safetensors"
    panel.ui.startButton.click()
    wait_until(lambda: bool(backend.asked))
    _frame, options = backend.asked[0]
    assert (options.threshold, options.device, options.weights) == (
        0.45,
        "cpu",
        "mine.safetensors",
    )
    needle_tip_us.close(panel)


def test_an_answer_that_is_too_late_is_not_shown_once_there_is_a_newer_image(
    running, stream, wait_until
):
    from NeedleTipUSLib.example_stream import example_frame, send

    running.ui.associationCheckBox.checked = False
    running.ui.budgetSpinBox.value = 100
    slow = example_frame(None)
    slow[10, 10] = 252
    send(stream, slow)
    wait_until(lambda: running.logic.tracking._number == 2)
    send(stream, slow)
    wait_until(lambda: "take longer than 100 ms" in running.ui.noticeLabel.text)
    assert running.ui.stateLabel.text == LOST
    assert running.logic.tracking.statistics.dropped == 1
    wait_until(lambda: running.logic.tracking.statistics.answered == 2)  # the newest is shown


# What streams do


def test_a_stream_that_stops_is_told_and_one_that_restarts_is_followed_on(
    running, stream, show, wait_until, monkeypatch
):
    from NeedleTipUSLib import tracking

    for _ in range(3):
        show(running, stream, (60, 40))
    with monkeypatch.context() as impatient:
        impatient.setattr(tracking, "STALLED_S", 0.3)
        wait_until(lambda: running.ui.noticeLabel.text.startswith("No new image for"))
        assert running.ui.stateLabel.text == LOST
        assert tip_ras() is None
    for _ in range(3):
        show(running, stream, (60, 40))
    assert running.ui.stateLabel.text == SEEN
    assert running.ui.noticeLabel.text == ""


def test_a_stream_that_changes_size_is_followed_in_the_new_one(running, stream, show):
    for _ in range(3):
        show(running, stream, (60, 40))
    larger = np.random.default_rng(1).integers(20, 200, (200, 320), np.uint8)
    larger[100, 300] = 255
    for _ in range(3):
        show(running, stream, None, frame=larger)
    assert running.ui.stateLabel.text == SEEN
    np.testing.assert_allclose(tip_ras(), (40 - 150.0, 30 - 50.0, 5.0), atol=0.1)
    assert running.ui.rightSpinBox.value == 320


def test_colour_turns_grey_and_is_warned_of(panel, scene, wait_until):
    from NeedleTipUSLib.example_stream import example_frame

    colour = np.repeat(example_frame((60, 40))[..., None], 3, axis=2)
    colour[60:90, 60:90] = 200, 30, 30
    stream = slicer.util.addVolumeFromArray(
        colour[None], name="Doppler", nodeClassName="vtkMRMLVectorVolumeNode"
    )
    panel.ui.associationCheckBox.checked = False
    panel.ui.volumeSelector.setCurrentNode(stream)
    panel.ui.startButton.click()
    wait_until(lambda: panel.ui.stateLabel.text == SEEN)
    assert "Colours in the image turn grey" in panel.ui.noticeLabel.text


def test_a_3d_volume_is_refused_and_the_next_image_followed(running, stream, show, wait_until):
    slicer.util.updateVolumeFromArray(stream, np.zeros((5, 120, 160), np.uint8))
    wait_until(lambda: "is a volume of 5 slices" in running.ui.noticeLabel.text)
    assert running.ui.stateLabel.text == LOST
    for _ in range(3):
        show(running, stream, (60, 40))
    assert running.ui.stateLabel.text == SEEN


def test_a_node_without_image_waits_for_one(panel, scene, wait_until, show, monkeypatch):
    from NeedleTipUSLib import tracking

    stream = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    panel.ui.volumeSelector.setCurrentNode(stream)
    panel.ui.startButton.click()
    with monkeypatch.context() as impatient:
        impatient.setattr(tracking, "STALLED_S", 0.3)
        wait_until(lambda: panel.ui.noticeLabel.text.startswith("No new image for"))
    for _ in range(3):
        show(panel, stream, (60, 40))
    assert panel.ui.stateLabel.text == SEEN


def test_removing_the_node_while_tracking_stops_it(running, stream, show, scene):
    for _ in range(3):
        show(running, stream, (60, 40))
    scene.RemoveNode(stream)
    assert running.ui.stateLabel.text == "not tracking"
    assert running.ui.noticeLabel.text == "Stopped, because the stream's volume was removed."
    assert tip_ras() is None
    assert lines_visible() == []


def test_closing_the_scene_while_tracking_stops_it(running, stream, show, scene, wait_until):
    for _ in range(3):
        show(running, stream, (60, 40))
    scene.Clear(0)
    assert running.ui.stateLabel.text == "not tracking"
    assert running.ui.noticeLabel.text == "Stopped, because the scene was closed."
    assert slicer.util.getNodesByClass("vtkMRMLModelNode") == []
    assert not running.ui.startButton.enabled


def test_a_backend_that_dies_is_told_and_a_new_one_goes_on(running, stream, show, wait_until):
    from NeedleTipUSLib.example_stream import example_frame, send

    (first, *_rest) = {process.pid for process in processes()}
    deadly = example_frame(None)
    deadly[10, 10] = 254
    send(stream, deadly)
    wait_until(lambda: "The backend stopped unexpectedly." in running.ui.noticeLabel.text)
    assert running.ui.stateLabel.text == LOST
    for _ in range(3):
        show(running, stream, (60, 40))
    assert running.ui.stateLabel.text == SEEN
    assert first not in {process.pid for process in processes()}


def test_a_backend_that_dies_again_and_again_ends_it(running, stream, wait_until):
    from NeedleTipUSLib.example_stream import example_frame, send

    def send_deadly():
        deadly = example_frame(None)
        deadly[10, 10] = 254
        if running.logic.tracking is not None:
            failures = running.logic.tracking._failures
            send(stream, deadly)
            wait_until(
                lambda: (
                    running.logic.tracking is None or running.logic.tracking._failures != failures
                )
            )

    for _ in range(3):
        send_deadly()
    assert running.ui.stateLabel.text == "not tracking"
    assert "The backend stopped unexpectedly." in running.ui.noticeLabel.text


def test_missing_weights_are_told_and_end_it(running, stream, wait_until):
    from NeedleTipUSLib.example_stream import example_frame, send

    frame = example_frame(None)
    frame[10, 10] = 253
    send(stream, frame)
    wait_until(lambda: running.ui.stateLabel.text == "not tracking")
    assert running.ui.noticeLabel.text == "There are no weights us_yolot; train some."


def test_start_pressed_twice_starts_and_stops(panel, stream, wait_until):
    panel.ui.volumeSelector.setCurrentNode(stream)
    panel.ui.startButton.click()
    panel.ui.startButton.click()
    assert panel.ui.stateLabel.text == "not tracking"
    assert not is_observed_by_tracking(stream)
    panel.ui.startButton.click()
    wait_until(lambda: panel.ui.stateLabel.text == LOST)


def is_observed_by_tracking(stream):
    return stream.HasObserver(stream.ImageDataModifiedEvent)


def test_of_two_streams_the_chosen_one_is_followed(running, stream, show, wait_until):
    from NeedleTipUSLib.example_stream import add_example_stream, example_frame, send

    other = add_example_stream("Image_Other")
    for _ in range(3):
        send(other, example_frame((20, 20)))
        show(running, stream, (60, 40))
    np.testing.assert_allclose(tip_ras(), (10.0, 10.0, 5.0), atol=0.1)
    running.ui.volumeSelector.setCurrentNode(other)
    assert not is_observed_by_tracking(stream)
    for _ in range(3):
        send(stream, example_frame((60, 40)))
        show(running, other, (20, 20))
    np.testing.assert_allclose(tip_ras(), (30.0, 20.0, 5.0), atol=0.1)


def test_nothing_is_left_after_many_starts_and_stops(running, stream, show, scene):
    def visit():
        show(running, stream, (60, 40))
        running.ui.startButton.click()
        running.ui.startButton.click()

    def observers():
        return str(scene).count("vtkObserver (")

    visit()
    count, nodes = observers(), scene.GetNumberOfNodes()
    for _ in range(20):
        visit()
    assert (observers(), scene.GetNumberOfNodes()) == (count, nodes)
    running.ui.startButton.click()
    assert not is_observed_by_tracking(stream)


# What it says of itself


def test_the_help_says_what_was_never_tested(needle_tip_us):
    text = needle_tip_us.parent.helpText
    for honest in (
        "simulated punctures",
        "real needles",
        "does not work yet",
        "not a medical device",
    ):
        assert honest in text


def test_it_is_found_where_the_other_module_is(needle_tip_us, needle_localization):
    assert needle_tip_us.parent.categories == needle_localization.parent.categories == ["IGT"]
    assert needle_tip_us.parent.icon.availableSizes()
