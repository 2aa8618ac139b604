"""Tables of tips are compared with the truth of the very frames they belong to."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.tips import FrameAnswer, Tip
from needle_backend.us.track_table import write_tips
from needle_backend.us.training.coco_files import LabelledImage, write_coco
from needle_backend.us.training.evaluate_files import evaluate_path

BOX = [100.0, 80.0, 40.0, 20.0]
SEEN = {"visible": True, "tip": [120, 90], "box": BOX}
UNSEEN = {"visible": False, "tip": None, "box": None}


def write_truth(folder, frames, size=(640, 480)):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps({"size": size, "fps": 20, "frames": frames}))
    return folder


def write_found(path, places):
    """Write a table with a tip at each place (x, y), lost where it is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answers = [
        FrameAnswer(number, number / 20, "lost", None)
        if place is None
        else FrameAnswer(number, number / 20, "detected", Tip(*place, 40.0, 20.0, 0.8))
        for number, place in enumerate(places)
    ]
    write_tips(path, answers)
    return path


@pytest.fixture
def truth(tmp_path):
    write_truth(tmp_path / "truth" / "sequence_000", [SEEN, SEEN, UNSEEN])
    write_truth(tmp_path / "truth" / "sequence_001", [SEEN, UNSEEN])
    return tmp_path / "truth"


@pytest.mark.parametrize("name", ["{}/tips.csv", "{}.csv"])
def test_sequences_are_compared_with_their_tables(truth, tmp_path, name):
    found = tmp_path / "found"
    write_found(found / name.format("sequence_000"), [(120, 90), (123, 94), None])
    write_found(found / name.format("sequence_001"), [None, (300, 300)])
    report = evaluate_path(truth, found)
    first, second = report["per_sequence"].values()
    assert first["rmse_px"] == pytest.approx(np.sqrt(25 / 2))
    assert (first["miss_rate"], second["miss_rate"]) == (0.0, 1.0)
    assert report["counts"]["false_answers"] == 1
    assert report["missing_predictions"] == []


def test_a_sequence_without_a_table_counts_as_missed_and_is_listed(truth, tmp_path):
    write_found(tmp_path / "found" / "sequence_000.csv", [(120, 90), (120, 90), None])
    report = evaluate_path(truth, tmp_path / "found")
    assert report["missing_predictions"] == ["sequence_001"]
    assert report["per_sequence"]["sequence_001"]["miss_rate"] == 1.0


@pytest.mark.parametrize("place", ["truth/sequence_000", "truth/sequence_000/truth.json"])
def test_one_sequence_is_compared_with_one_table(truth, tmp_path, place):
    table = write_found(tmp_path / "tips.csv", [(120, 90), None, None])
    assert evaluate_path(tmp_path / place, table)["miss_rate"] == 0.5


def test_an_answer_in_a_doubtful_frame_is_neither_right_nor_wrong(tmp_path):
    doubtful = {**UNSEEN, "doubtful": True}
    folder = write_truth(tmp_path / "truth" / "sequence_000", [SEEN, doubtful, UNSEEN])
    table = write_found(tmp_path / "tips.csv", [(120, 90), (300, 300), None])
    counts = evaluate_path(folder, table)["counts"]
    assert (counts["frames"], counts["false_answers"], counts["without_tip"]) == (2, 0, 1)


def test_tips_that_are_not_sure_enough_count_as_lost(truth, tmp_path):
    table = write_found(tmp_path / "tips.csv", [(120, 90), (120, 90), (300, 300)])
    report = evaluate_path(truth / "sequence_000", table, threshold=0.9)
    assert (report["miss_rate"], report["false_answer_rate"]) == (1.0, 0.0)


@pytest.fixture
def labelled(tmp_path):
    """A labelled set whose images are numbered 1, 2, 10: a tip in the first and the last."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    images = []
    for number in (10, 1, 2):
        path = folder / "images" / f"{number}.png"
        cv2.imwrite(str(path), np.zeros((480, 640), np.uint8))
        images.append(LabelledImage(path, 640, 480, np.array([BOX] if number != 2 else [])))
    write_coco(folder, images)
    return folder


def test_a_labelled_set_is_compared_in_the_order_in_which_its_images_are_tracked(
    labelled, tmp_path
):
    table = write_found(tmp_path / "tips.csv", [(120, 90), None, (126, 98)])
    report = evaluate_path(labelled, table)
    assert report["counts"]["without_tip"] == 1
    assert report["miss_rate"] == 0.0
    assert report["rmse_px"] == pytest.approx(np.sqrt(100 / 2))


def test_an_image_that_the_set_does_not_list_is_named(labelled, tmp_path):
    cv2.imwrite(str(labelled / "images" / "3.png"), np.zeros((480, 640), np.uint8))
    table = write_found(tmp_path / "tips.csv", [None] * 4)
    with pytest.raises(InputError, match=r"does not list 3\.png"):
        evaluate_path(labelled, table)


def test_a_table_of_other_frames_is_refused(truth, tmp_path):
    table = write_found(tmp_path / "tips.csv", [None] * 5)
    with pytest.raises(InputError, match="has 5 rows, but the truth has 3 frames"):
        evaluate_path(truth / "sequence_000", table)


def test_a_box_may_reach_beyond_the_picture_while_its_tip_is_inside(tmp_path):
    at_the_edge = {"visible": True, "tip": [10, 90], "box": [-10.0, 80.0, 40.0, 20.0]}
    write_truth(tmp_path / "truth" / "sequence_000", [at_the_edge])
    write_found(tmp_path / "found" / "sequence_000.csv", [(10.0, 90.0)])
    report = evaluate_path(tmp_path / "truth", tmp_path / "found")
    assert report["rmse_px"] == pytest.approx(0.0)
    assert report["ap_01_05"] == pytest.approx(1.0)


def test_one_table_for_several_sequences_is_refused(truth, tmp_path):
    table = write_found(tmp_path / "tips.csv", [None] * 3)
    with pytest.raises(InputError, match="several sequences"):
        evaluate_path(truth, table)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"visible": True, "box": None}, "frame 1 is no box"),
        ({"visible": True, "box": [630, 80, 40, 20]}, "frame 1 reaches from"),
        ({"box": BOX}, "frame 1 does not say"),
        (None, "frame 1 does not say"),
    ],
)
def test_a_frame_of_the_truth_that_makes_no_sense_is_named(tmp_path, frame, words):
    folder = write_truth(tmp_path / "one", [SEEN, frame])
    table = write_found(tmp_path / "tips.csv", [None] * 2)
    with pytest.raises(InputError, match=words):
        evaluate_path(folder, table)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"size": 3, "frames": []}'])
def test_a_truth_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "truth.json").write_text(content)
    table = write_found(tmp_path / "tips.csv", [None])
    with pytest.raises(InputError, match="is no truth of a sequence"):
        evaluate_path(tmp_path / "truth.json", table)


def test_places_without_a_truth_or_a_table_are_refused(truth, tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        evaluate_path(tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no truth"):
        evaluate_path(tmp_path / "empty", tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        evaluate_path(truth, tmp_path / "none")
