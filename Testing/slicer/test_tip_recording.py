"""Each tip is kept with the image that it belongs to, live and replayed."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer

from needle_backend.us.track_table import read_tips

PLACES = [(60, 40), (61, 41), (62, 42), None, (64, 44)]


@pytest.fixture
def example(needle_tip_us, scene):
    """What makes up an example stream."""
    from NeedleTipUSLib import example_stream

    return example_stream


@pytest.fixture
def logic(example):
    from NeedleTipUSLib.logic import NeedleTipUSLogic

    backend = example.BrightestPixel()
    logic = NeedleTipUSLogic(lambda: backend)
    yield logic
    logic.stop()


@pytest.fixture
def sightings(logic):
    return []


@pytest.fixture
def start(logic, sightings, wait_until):
    """Track a stream without association; wait for the image that is there."""

    def start_and_wait(stream):
        from NeedleTipUSLib.tracking import TrackingSettings

        settings = TrackingSettings(association=False)
        logic.start(stream, settings, on_sighting=sightings.append)
        wait_until(lambda: bool(sightings))

    return start_and_wait


@pytest.fixture
def recorded(logic, start, sightings, example, wait_until):
    """Five images and their tips, recorded live."""
    stream = example.add_example_stream()
    start(stream)
    recording = logic.start_recording()
    for number, place in enumerate(PLACES):
        count = len(sightings)
        example.send(stream, example.example_frame(place, seed=number))
        wait_until(lambda count=count: len(sightings) > count)
        time.sleep(0.002)  # a sequence tells times apart from a millisecond on
    logic.stop()
    return recording


def test_each_tip_is_kept_under_the_time_of_its_image(recorded, example):
    images, tips = recorded.browser.GetMasterSequenceNode(), recorded.tips
    assert images.GetNumberOfDataNodes() == tips.GetNumberOfDataNodes() == len(PLACES)
    for number, place in enumerate(PLACES):
        assert images.GetNthIndexValue(number) == tips.GetNthIndexValue(number)
        array = slicer.util.arrayFromVolume(images.GetNthDataNode(number))[0]
        np.testing.assert_array_equal(array, example.example_frame(place, seed=number))
        tip = tips.GetNthDataNode(number)
        assert tip.GetNumberOfDefinedControlPoints() == (place is not None)
        if place is not None:
            x, y = place
            found = [*tip.GetNthControlPointPositionWorld(0)]
            np.testing.assert_allclose(found, (40 - x / 2, 30 - y / 2, 5.0), atol=1e-6)


def test_image_and_tip_are_replayed_together(recorded):
    browser = recorded.browser
    logic = slicer.modules.sequences.logic()
    for number, place in enumerate(PLACES):
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        tip = browser.GetProxyNode(recorded.tips)
        image = slicer.util.arrayFromVolume(browser.GetProxyNode(browser.GetMasterSequenceNode()))
        assert tip.GetNumberOfDefinedControlPoints() == (place is not None)
        if place is not None:
            assert image[0, place[1], place[0]] == 255


def test_the_tips_of_a_replayed_sequence_are_kept_beside_its_images(
    recorded, logic, start, sightings, wait_until
):
    browser = recorded.browser
    master = browser.GetMasterSequenceNode()
    sequences = slicer.modules.sequences.logic()
    browser.SetSelectedItemNumber(0)
    sequences.UpdateProxyNodesFromSequences(browser)
    sightings.clear()
    start(browser.GetProxyNode(master))
    again = logic.start_recording()
    for number in (1, 3, 2):
        count = len(sightings)
        browser.SetSelectedItemNumber(number)
        sequences.UpdateProxyNodesFromSequences(browser)
        wait_until(lambda count=count: len(sightings) > count)
    assert again.browser is browser
    assert again.tips is not recorded.tips
    kept = [again.tips.GetNthIndexValue(i) for i in range(again.tips.GetNumberOfDataNodes())]
    assert kept == [master.GetNthIndexValue(i) for i in (1, 2, 3)]
    defined = [again.tips.GetNthDataNode(i).GetNumberOfDefinedControlPoints() for i in range(3)]
    assert defined == [1, 1, 0]


def test_the_table_has_a_row_for_each_image(recorded, tmp_path):
    recorded.write_table(tmp_path / "tips.csv")
    answers = read_tips(tmp_path / "tips.csv")
    assert [answer.state for answer in answers] == ["detected"] * 3 + ["lost", "detected"]
    assert (answers[1].tip.x, answers[1].tip.y) == (61.0, 41.0)


def test_turned_images_are_kept_as_they_were_received(logic, example, sightings, wait_until):
    from NeedleTipUSLib.tracking import TrackingSettings

    stream = example.add_example_stream()
    frame = example.example_frame((60, 40))
    example.send(stream, frame)
    settings = TrackingSettings(association=False, orientation="turned by 180 degrees")
    logic.start(stream, settings, on_sighting=sightings.append)
    recording = logic.start_recording()
    wait_until(lambda: bool(sightings))
    image = recording.browser.GetMasterSequenceNode().GetNthDataNode(0)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(image)[0], frame)


def test_nothing_is_recorded_while_nothing_is_tracked(logic, tmp_path):
    with pytest.raises(Exception, match="Start tracking first"):
        logic.start_recording()


def test_the_panel_records_while_its_button_is_down(
    needle_tip_us, example, wait_until, tmp_path, monkeypatch
):
    import qt

    stream, backend = example.add_example_stream(), example.BrightestPixel()
    panel = needle_tip_us.open()
    panel.logic.use(lambda: backend)
    panel.ui.volumeSelector.setCurrentNode(stream)
    assert not panel.ui.recordButton.enabled
    panel.ui.startButton.click()
    panel.ui.recordButton.click()
    for number in range(3):
        seen = len(panel.logic.recording.answers)
        example.send(stream, example.example_frame((60, 40), seed=number))
        wait_until(lambda seen=seen: len(panel.logic.recording.answers) > seen)
    panel.ui.recordButton.click()
    count = panel.ui.recordedLabel.text
    monkeypatch.setattr(
        qt.QFileDialog, "getSaveFileName", lambda *_: str(tmp_path / "mine"), raising=False
    )
    panel.ui.tableButton.click()
    assert panel.ui.noticeLabel.text == f"Written: {tmp_path / 'mine.csv'}"
    assert count == f"{len(read_tips(tmp_path / 'mine.csv'))} images"
    needle_tip_us.close(panel)
