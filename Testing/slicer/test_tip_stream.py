"""Images of a stream: read once each, turned, placed in the world, counted; 2,000 in a row."""

from __future__ import annotations

import gc
from itertools import count

import numpy as np
import psutil
import pytest
import slicer
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.core.errors import InputError

ORIENTATIONS = (
    "as received",
    "top and bottom swapped",
    "left and right swapped",
    "turned by 180 degrees",
)


@pytest.fixture
def example(needle_tip_us, scene):
    from NeedleTipUSLib import example_stream

    return example_stream


@settings(deadline=None, max_examples=40)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    row=st.integers(0, 39),
    column=st.integers(0, 49),
    steps=st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)),
    origin=st.tuples(st.floats(-99, 99), st.floats(-99, 99), st.floats(-99, 99)),
)
def test_a_pixel_lies_where_its_node_says_however_the_image_is_turned(
    needle_tip_us, orientation, row, column, steps, origin
):
    from NeedleTipUSLib.stream_image import StreamReader

    array = np.zeros((1, 40, 50), np.uint8)
    array[0, row, column] = 255
    ijk_to_ras = np.array(
        [[0, -steps[1], 0, origin[0]], [steps[0], 0, 0, origin[1]], [0, 0, 1, origin[2]],
         [0, 0, 0, 1]]
    )  # fmt: skip
    node = slicer.vtkMRMLScalarVolumeNode()
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    image = StreamReader().read(node, orientation)
    y, x = np.unravel_index(image.grey.argmax(), image.grey.shape)
    (place,) = image.to_world(np.array([[x, y]]))
    np.testing.assert_allclose(place, (ijk_to_ras @ (column, row, 0, 1))[:3], atol=1e-9)


def test_images_of_16_bits_are_all_scaled_alike(example):
    from NeedleTipUSLib.stream_image import StreamReader

    reader, node = StreamReader(), example.add_example_stream()
    ramp = np.linspace(0, 4095, 40 * 50).reshape(1, 40, 50).astype(np.uint16)
    slicer.util.updateVolumeFromArray(node, ramp)
    first = reader.read(node, "as received").grey
    slicer.util.updateVolumeFromArray(node, ramp // 2)
    second = reader.read(node, "as received").grey
    assert (first.dtype, first.max()) == (np.uint8, 255)
    assert second.max() == pytest.approx(128, abs=1)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 40, 50), np.uint8), "is a volume of 3 slices"),
        (np.zeros((1, 10, 50), np.uint8), "has 50 x 10 pixels"),
        (np.full((1, 40, 50), np.nan, np.float32), "values that are no numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(example, array, words):
    from NeedleTipUSLib.stream_image import StreamReader

    node = example.add_example_stream()
    slicer.util.updateVolumeFromArray(node, array)
    with pytest.raises(InputError, match=words):
        StreamReader().read(node, "as received")


def test_a_transform_that_is_not_linear_is_refused(example, scene):
    from NeedleTipUSLib.stream_image import StreamReader

    node = example.add_example_stream()
    grid = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(grid.GetID())
    with pytest.raises(InputError, match="warp"):
        StreamReader().read(node, "as received")


def test_an_image_is_told_once_however_often_its_node_speaks(example, wait_until):
    from NeedleTipUSLib.stream_watch import StreamWatch

    node, told = example.add_example_stream(), []
    watch = StreamWatch(node, told.append, lambda reason: None)
    watch.start()
    wait_until(lambda: len(told) == 1)
    for _ in range(5):
        node.Modified()
    node.SetName("renamed")
    slicer.app.processEvents()
    assert len(told) == 1
    slicer.util.arrayFromVolume(node)[:] = 7
    slicer.util.arrayFromVolumeModified(node)
    wait_until(lambda: len(told) == 2)
    slicer.util.updateVolumeFromArray(node, np.zeros((1, 50, 60), np.uint8))  # speaks four times
    wait_until(lambda: len(told) == 3)
    watch.stop()
    example.send(node, example.example_frame(None))
    slicer.app.processEvents()
    assert len(told) == 3


def test_figures_are_those_of_the_last_seconds(needle_tip_us):
    from NeedleTipUSLib.live_statistics import LiveStatistics

    now_s = count(0, 0.1)
    statistics = LiveStatistics(clock=lambda: next(now_s))  # every look at the clock takes 0.1 s
    for number in range(40):
        statistics.image_arrived()
        statistics.marker_moved(0.03 if number % 10 else 0.2)
    statistics.image_dropped()
    figures = statistics.figures()
    assert figures.images_a_second == pytest.approx(5.0, abs=0.3)
    assert figures.answers_a_second == pytest.approx(5.0, abs=0.3)
    assert figures.latency_median_ms == pytest.approx(30)
    assert figures.latency_p95_ms > 30
    assert figures.dropped == 1


def test_what_is_older_is_forgotten_even_if_nobody_asks_for_figures(needle_tip_us):
    from NeedleTipUSLib.live_statistics import WINDOW_S, LiveStatistics

    now_s = count(0, 0.1)
    statistics = LiveStatistics(clock=lambda: next(now_s))
    for _ in range(1000):
        statistics.image_arrived()
        statistics.marker_moved(0.03)
    kept = len(statistics._arrivals) + len(statistics._answers)
    assert kept <= WINDOW_S / 0.1 + 2


@pytest.mark.slow
def test_two_thousand_images_leave_memory_flat_and_answers_with_their_images(
    example, wait_until, scene
):
    from NeedleTipUSLib.logic import NeedleTipUSLogic
    from NeedleTipUSLib.tracking import TrackingSettings

    stream, backend, newest = example.add_example_stream(), example.BrightestPixel(), []
    logic = NeedleTipUSLogic(lambda: backend)

    def keep(sighting):
        newest[:] = [sighting]

    logic.start(stream, TrackingSettings(association=False), on_sighting=keep)
    frames = [example.example_frame((20 + x, 40), seed=x) for x in range(100)]

    def stream_on(numbers):
        for number in numbers:
            newest.clear()
            backend.asked.clear()
            example.send(stream, frames[number % 100])
            wait_until(lambda: bool(newest))
            assert newest[0].answer.tip.x == 20 + number % 100
        gc.collect()
        return psutil.Process().memory_info().rss

    before = stream_on(range(500))
    nodes = scene.GetNumberOfNodes()
    after = stream_on(range(500, 2000))
    assert after - before < 10e6
    assert scene.GetNumberOfNodes() == nodes
    logic.stop()
    assert not stream.HasObserver(stream.ImageDataModifiedEvent)
