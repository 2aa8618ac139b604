import json

import cv2
import numpy as np
import pytest
from us.recordings import grey_frames, write_images, write_video

from needle_backend.us.training.coco_files import LabelledImage, write_coco


def test_recordings_become_images_with_subsets(needles, tmp_path):
    video = write_video(tmp_path / "a.avi", grey_frames(12))
    code, out, err = needles(
        *("dataset", "us", video, "--output", tmp_path / "set", "--every", 3, "--subset", "2,4"),
        *("--crop", "0,0,64,48"),
    )
    assert (code, err) == (0, "")
    assert f"{video}: 4 images, region 0,0,64,48" in out
    assert f"4 images in {tmp_path / 'set'}." in out
    assert len(list((tmp_path / "set" / "subset_2").glob("*.png"))) == 2
    assert json.loads((tmp_path / "set" / "manifest.json").read_text())["every"] == 3


@pytest.fixture
def labelled(tmp_path):
    frames = np.random.default_rng(1).integers(30, 220, (2, 100, 140), np.uint8)
    folder = write_images(tmp_path / "mine" / "images", frames).parent
    boxes = [[40.0, 30.0, 30.0, 20.0]], []
    write_coco(folder, [
        LabelledImage(folder / "images" / f"frame_{i}.png", 140, 100, np.array(box))
        for i, box in enumerate(boxes)
    ])  # fmt: skip
    return folder


def test_labelled_images_become_a_set_in_coco(needles, labelled, tmp_path):
    code, out, _ = needles("dataset", "us", labelled, "--output", tmp_path / "set")
    assert code == 0
    assert "2 images with 1 tip," in out
    assert (tmp_path / "set" / "annotations.json").is_file()


def outside(content):
    content["annotations"][0]["bbox"] = [130, 30, 30, 20]


def doubled(content):
    content["annotations"].append({**content["annotations"][0], "bbox": [1, 1, 5, 5]})


def none_at_all(content):
    content["annotations"] = []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (outside, "annotation 1 (frame_0.png) reaches from (130, 30) to (160, 50), outside"),
        (doubled, "annotation 2 has the id 1 of annotation 1"),
        (none_at_all, "marks no tip in any of its 2 images"),
    ],
)
def test_bad_labels_are_one_sentence_with_file_and_row(needles, labelled, tmp_path, spoil, words):
    path = labelled / "annotations.json"
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    code, out, err = needles("dataset", "us", labelled, "--output", tmp_path / "set")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{path}" in err and words in err
    assert [place.name for place in tmp_path.iterdir()] == ["mine"]


def test_a_bad_recording_is_one_sentence_and_nothing_is_left(needles, tmp_path):
    write_images(tmp_path / "a", grey_frames(2))
    cv2.imwrite(str(tmp_path / "a" / "frame_2.png"), np.zeros((90, 90), np.uint8))
    code, out, err = needles("dataset", "us", tmp_path / "a", "--output", tmp_path / "set")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "changes size: frame 2" in err
    assert [place.name for place in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--subset", "ten"), "--subset ten is no list of sizes"),
        (("--subset", "0"), "is no list of sizes"),
        (("--subset", "3,3"), "is no list of sizes"),
        (("--subset", "9"), "subset of 9 images cannot be taken of 1"),
        (("--every", "0"), "--every"),
        (("--crop", "a,b"), "--crop a,b is no region"),
    ],
)
def test_options_that_cannot_be_are_refused(needles, tmp_path, options, words):
    folder = write_images(tmp_path / "a", grey_frames(3))
    code, _, err = needles("dataset", "us", folder, "--output", tmp_path / "set", *options)
    assert code == 2
    assert words in err
    assert not (tmp_path / "set").exists()
