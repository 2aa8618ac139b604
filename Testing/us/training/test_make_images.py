"""Recordings and labelled images become a folder to train on that says where all of it is from."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from us.recordings import grey_frames, write_images, write_sequence, write_video

from needle_backend.core.errors import InputError
from needle_backend.us.frames import open_frames
from needle_backend.us.training.coco_files import LabelledImage, read_coco, write_coco
from needle_backend.us.training.make_images import make_images

ROWS, COLUMNS = 200, 300
REGION = (50, 40, 250, 180)


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def screens(count):
    """Frames with speckle in REGION and a black screen around it."""
    frames = np.zeros((count, ROWS, COLUMNS), np.uint8)
    x0, y0, x1, y1 = REGION
    fine = np.random.default_rng(2).integers(40, 200, (count, y1 - y0, x1 - x0))
    frames[:, y0:y1, x0:x1] = fine
    return frames


def near(region):
    return np.abs(np.subtract(region, REGION)).max() <= 8


def test_every_fifth_frame_is_cut_to_the_imaging_region_and_remembers_its_origin(tmp_path):
    frames = screens(11)
    recording = write_images(tmp_path / "puncture 1", frames)
    (made,) = make_images([recording], tmp_path / "set", every=5)
    rows = manifest(tmp_path / "set")["images"]
    assert (made.images, made.boxes) == (3, None)
    assert [row["frame"] for row in rows] == [0, 5, 10]
    assert {row["source"] for row in rows} == {str(recording)}
    assert near(rows[0]["region"])
    x0, y0, x1, y1 = rows[1]["region"]
    image = cv2.imread(str(tmp_path / "set" / "images" / rows[1]["file"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image, frames[5, y0:y1, x0:x1])


def test_recordings_of_all_kinds_come_together_with_names_of_their_own(tmp_path):
    inputs = [
        write_video(tmp_path / "a.avi", grey_frames(3)),
        write_sequence(tmp_path / "a.mha", grey_frames(3)),
        write_images(tmp_path / "a", grey_frames(3)),
        write_images(tmp_path / "one", grey_frames(1)) / "frame_0.png",
    ]
    made = make_images(inputs, tmp_path / "set", every=2)
    assert [one.images for one in made] == [2, 2, 2, 1]
    names = [path.name for path in sorted((tmp_path / "set" / "images").iterdir())]
    assert len(names) == 7
    assert names == [row["file"] for row in manifest(tmp_path / "set")["images"]]


def test_a_given_region_is_cut_from_all(tmp_path):
    inputs = [write_images(tmp_path / name, screens(1)) for name in "ab"]
    made = make_images(inputs, tmp_path / "set", 1, crop=(60, 50, 160, 130))
    assert [one.regions for one in made] == [((60, 50, 160, 130),)] * 2
    shapes = {cv2.imread(str(path)).shape[:2] for path in (tmp_path / "set/images").iterdir()}
    assert shapes == {(80, 100)}


def test_subsets_are_taken_at_even_intervals(tmp_path):
    recording = write_images(tmp_path / "a", screens(10))
    make_images([recording], tmp_path / "set", 1, subsets=[2, 5])
    taken = sorted(path.name for path in (tmp_path / "set" / "subset_5").iterdir())
    rows = manifest(tmp_path / "set")
    assert taken == [row["file"] for row in rows["images"][::2]]
    assert rows["subsets"] == {"2": "subset_2", "5": "subset_5"}
    assert len(list((tmp_path / "set" / "subset_2").iterdir())) == 2


def test_a_subset_larger_than_the_whole_is_refused_and_nothing_is_left(tmp_path):
    recording = write_images(tmp_path / "a", screens(3))
    with pytest.raises(InputError, match="subset of 4 images cannot be taken of 3"):
        make_images([recording], tmp_path / "set", 1, subsets=[4])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.fixture
def label(tmp_path):
    """Make a folder of two labelled images of speckle in REGION, with a box each."""

    def make(*boxes):
        folder = write_images(tmp_path / "labelled" / "images", screens(2)).parent
        images = [
            LabelledImage(folder / f"images/frame_{number}.png", COLUMNS, ROWS, np.array([box]))
            for number, box in enumerate(boxes)
        ]
        write_coco(folder, images)
        return folder

    return make


INSIDE, LEFT = [100.0, 90.0, 30.0, 20.0], [20.0, 90.0, 30.0, 20.0]


def test_boxes_move_with_the_region(label, tmp_path):
    (made,) = make_images([label(INSIDE, INSIDE)], tmp_path / "set", every=5)
    assert (made.images, made.boxes) == (2, 2)
    assert near(made.regions[0])
    x0, y0, _, _ = made.regions[0]
    for image in read_coco(tmp_path / "set").images:
        np.testing.assert_allclose(image.boxes, [[100 - x0, 90 - y0, 30, 20]])
        assert image.facts["source"].endswith(".png")


def test_a_region_grows_to_hold_every_tip_and_images_of_one_size_stay_so(label, tmp_path):
    (made,) = make_images([label(INSIDE, LEFT)], tmp_path / "set", every=5)
    assert made.regions[0][0] == 20
    first, second = read_coco(tmp_path / "set").images
    assert (first.width, first.height) == (second.width, second.height)
    assert (first.boxes[0, 0], second.boxes[0, 0]) == (80, 0)
    assert len(list(open_frames(tmp_path / "set" / "images"))) == 2


def test_a_label_outside_the_given_region_is_named(label, tmp_path):
    with pytest.raises(InputError, match=r"frame_1\.png, box 1 within --crop reaches"):
        make_images([label(INSIDE, LEFT)], tmp_path / "set", 5, crop=(60, 50, 160, 130))
    assert not (tmp_path / "set").exists()


def test_inputs_with_labels_and_without_are_not_mixed(label, tmp_path):
    recording = write_images(tmp_path / "a", screens(1))
    with pytest.raises(InputError, match=r"has labels and .*a has none"):
        make_images([recording, label(INSIDE, INSIDE)], tmp_path / "set", 5)


def test_one_bad_recording_leaves_nothing(tmp_path):
    good = write_images(tmp_path / "good", screens(2))
    bad = tmp_path / "bad.mp4"
    bad.touch()
    with pytest.raises(InputError, match=r"bad\.mp4 is empty"):
        make_images([good, bad], tmp_path / "set", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.mp4", "good"]


def test_a_folder_that_is_there_already_is_never_touched(tmp_path):
    recording = write_images(tmp_path / "a", screens(1))
    before = sorted(recording.iterdir())
    with pytest.raises(InputError, match="is there already"):
        make_images([recording], recording, 1)
    assert sorted(recording.iterdir()) == before


def test_colours_in_a_region_are_told(tmp_path):
    frame = cv2.cvtColor(screens(1)[0], cv2.COLOR_GRAY2BGR)
    cv2.line(frame, (80, 60), (200, 150), (0, 255, 255), 2)
    (made,) = make_images([write_images(tmp_path / "a", frame[None])], tmp_path / "set", 1)
    assert "may be taken for a needle" in made.warnings[0]
