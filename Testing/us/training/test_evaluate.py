"""Average precision, distances and misses are what a person counting by hand would say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.us.training.coco_files import as_boxes
from needle_backend.us.training.evaluate import (
    ComparedFrame,
    average_precision,
    evaluate,
    frame_figures,
)

TRUE = (100.0, 80.0, 40.0, 20.0)


def frame(true=(), found=(), scores=None, size=(640, 480)):
    scores = [0.9] * len(found) if scores is None else scores
    return ComparedFrame(size, as_boxes(true), as_boxes(found), np.array(scores, float))


def shifted(box, x=0.0, y=0.0):
    return (box[0] + x, box[1] + y, box[2], box[3])


def test_perfect_boxes_have_an_ap_of_one_everywhere():
    figures = frame_figures([frame([TRUE], [TRUE])] * 3)
    assert figures["ap"] == pytest.approx(dict.fromkeys(("0.1", "0.2", "0.3", "0.4", "0.5"), 1.0))
    assert figures["ap_01_05"] == pytest.approx(1.0)
    assert figures["rmse_px"] == 0.0
    assert figures["miss_rate"] == 0.0


def test_a_box_counts_up_to_the_iou_it_has():
    # Half of the width beside it: intersection 20 x 20 of a union of 60 x 20, IoU 1/3.
    precision = average_precision([frame([TRUE], [shifted(TRUE, x=20)])])
    assert precision == pytest.approx({"0.1": 1.0, "0.2": 1.0, "0.3": 1.0, "0.4": 0.0, "0.5": 0.0})


def test_a_surer_wrong_box_halves_the_precision():
    frames = [frame([TRUE], [TRUE], [0.5]), frame([], [(300, 300, 30, 20)], [0.8])]
    assert average_precision(frames)["0.5"] == pytest.approx(0.5)


def test_a_less_sure_wrong_box_costs_nothing_of_ap():
    frames = [frame([TRUE], [TRUE, (300, 300, 30, 20)], [0.8, 0.2])]
    assert average_precision(frames)["0.5"] == pytest.approx(1.0)


def test_one_of_two_tips_gives_half_the_recall_at_101_points():
    frames = [frame([TRUE], [TRUE]), frame([TRUE], [])]
    # Precision is 1 at recalls 0, 0.01 ... 0.5 and 0 above: 51 of 101 points.
    assert average_precision(frames)["0.1"] == pytest.approx(51 / 101)


def test_without_any_true_tip_there_is_no_ap():
    figures = frame_figures([frame([], [TRUE]), frame([], [])])
    assert figures["ap"] is None and figures["ap_01_05"] is None
    assert figures["rmse_px"] is None and figures["miss_rate"] is None
    assert figures["false_answer_rate"] == 0.5


def test_without_any_found_box_ap_is_zero_and_everything_missed():
    figures = frame_figures([frame([TRUE])] * 4)
    assert figures["ap_01_05"] == 0.0
    assert figures["miss_rate"] == 1.0
    assert figures["rmse_px"] is None
    assert figures["within_px"] == {"5": 0.0, "10": 0.0, "20": 0.0, "40": 0.0}


def test_errors_are_of_the_surest_box_in_pixels_of_a_frame_scaled_to_640():
    frames = [
        frame([TRUE], [shifted(TRUE, x=300), shifted(TRUE, x=6, y=8)], [0.4, 0.6], (1280, 960)),
        frame([TRUE], [shifted(TRUE, y=60)], size=(1280, 960)),
    ]
    figures = frame_figures(frames)
    assert figures["rmse_px"] == pytest.approx(np.sqrt((5.0**2 + 30.0**2) / 2))
    assert figures["median_px"] == pytest.approx(17.5)
    assert figures["within_px"] == {"5": 0.5, "10": 0.5, "20": 0.5, "40": 1.0}


def test_with_several_tips_the_nearest_one_is_meant():
    figures = frame_figures([frame([TRUE, (500, 300, 40, 20)], [(503, 304, 40, 20)])])
    assert figures["rmse_px"] == pytest.approx(5.0)


def test_the_threshold_decides_what_is_answered_but_not_what_counts_for_ap():
    frames = [frame([TRUE], [TRUE], [0.3]), frame([], [TRUE], [0.2]), frame([], [TRUE], [0.7])]
    figures = frame_figures(frames, threshold=0.5)
    assert figures["miss_rate"] == 1.0
    assert figures["counts"] == {
        "frames": 3,
        "with_tip": 1,
        "answered": 0,
        "without_tip": 2,
        "false_answers": 1,
    }
    assert figures["ap"] == frame_figures(frames)["ap"]


def test_sequences_are_told_apart_and_pooled_over_their_frames():
    report = evaluate({"a": [frame([TRUE], [TRUE])] * 3, "b": [frame([TRUE])]})
    assert report["per_sequence"]["a"]["miss_rate"] == 0.0
    assert report["per_sequence"]["b"]["miss_rate"] == 1.0
    assert report["miss_rate"] == 0.25
    assert report["counts"]["frames"] == 4


def test_the_comparison_is_silent(capfd):
    average_precision([frame([TRUE], [TRUE])])
    assert capfd.readouterr() == ("", "")


coordinates = st.floats(0, 300, allow_nan=False)
boxes = st.tuples(coordinates, coordinates, st.floats(5, 60), st.floats(5, 60))


@given(st.lists(st.tuples(boxes, boxes, st.floats(0, 1)), min_size=1, max_size=6))
def test_ap_never_rises_with_the_iou_asked_for_and_stays_within_0_and_1(rows):
    precision = average_precision([frame([a], [b], [score]) for a, b, score in rows])
    values = list(precision.values())
    assert values == sorted(values, reverse=True)
    assert all(0 <= value <= 1 for value in values)


@given(boxes, st.floats(0.2, 5))
def test_errors_do_not_depend_on_the_scale_of_the_frame(box, scale):
    found = shifted(box, x=7, y=-3)
    small = frame_figures([frame([box], [found], size=(400, 300))])
    scaled = [tuple(scale * value for value in row) for row in (box, found)]
    large = frame_figures([frame([scaled[0]], [scaled[1]], size=(400 * scale, 300 * scale))])
    assert large["rmse_px"] == pytest.approx(small["rmse_px"])
