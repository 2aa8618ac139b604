"""NeedleTipUS survives whatever streams, scenes and processes do."""

from __future__ import annotations

import numpy as np
import slicer

from slicer_harness.live_tip import (
    LOST,
    SEEN,
    lines_visible,
    processes,
    tip_ras,
)


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
