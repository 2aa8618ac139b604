"""Labelled sets as squares, changed a little, in an order of their own."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.training.coco_files import LabelledImage, write_coco
from needle_backend.us.training.dataset import (
    AugmentSettings,
    DataSource,
    EpochOrder,
    TipImages,
    changed,
    load_set,
)
from needle_backend.us.training.marks import with_marks

STRONG = AugmentSettings(
    brightness=(0.9, 1.0), mirror_share=0.5, zoom=(0.7, 1.4), shift_share=0.2, noise=3.0
)


@pytest.fixture
def spots(tmp_path):
    """A COCO set of black images with a bright spot in each box, and one image without."""
    folder = tmp_path / "spots"
    (folder / "images").mkdir(parents=True)
    images = []
    for number, centre in enumerate([(60, 40), (100, 70), None]):
        path = folder / "images" / f"{number}.png"
        picture = np.zeros((90, 160), np.uint8)
        boxes = np.zeros((0, 4))
        if centre is not None:
            cv2.circle(picture, centre, 5, 250, -1)
            boxes = np.array([[centre[0] - 8, centre[1] - 6, 16, 12]], float)
        cv2.imwrite(str(path), picture)
        images.append(LabelledImage(path, 160, 90, boxes))
    write_coco(folder, images)
    return folder


def centre_of_light(square: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(square.shape)
    light = np.where(square > 100, square, 0).astype(float)
    return np.array([np.average(columns, weights=light), np.average(rows, weights=light)])


def test_a_coco_set_becomes_squares_with_their_tips(spots, tmp_path):
    images = load_set(spots, 80, tmp_path / "cache")
    assert (images.name, len(images)) == ("spots", 3)
    assert images.squares().shape == (3, 80, 80)
    assert [len(boxes) for boxes in images.boxes] == [1, 1, 0]
    np.testing.assert_allclose(images.boxes[0][0], [29.75, 19.75, 8, 6])
    np.testing.assert_allclose(centre_of_light(images.squares()[0]), [29.75, 19.75], atol=0.2)


def test_a_frame_whose_tip_is_doubtful_is_not_learnt_from(tmp_path):
    frames = tmp_path / "set" / "sequence_000" / "frames"
    frames.mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(frames / f"{number}.png"), np.full((48, 64), number, np.uint8))
    rows = [
        {"visible": True, "tip": [30, 20], "box": [20, 15, 20, 10]},
        {"visible": False, "doubtful": True},
        {"visible": False},
    ]
    truth = {"size": [64, 48], "fps": 1, "frames": rows}
    (frames.parent / "truth.json").write_text(json.dumps(truth))
    images = load_set(tmp_path / "set", 64, tmp_path / "cache")
    assert [square.max() for square in images.squares()] == [0, 2]
    assert [len(boxes) for boxes in images.boxes] == [1, 0]


def test_a_second_reading_uses_the_cache_until_an_image_changes(spots, tmp_path):
    cache = tmp_path / "cache"
    first = load_set(spots, 80, cache)
    made = first.squares_path.stat().st_mtime_ns
    again = load_set(spots, 80, cache)
    assert again.squares_path == first.squares_path
    assert again.squares_path.stat().st_mtime_ns == made
    cv2.imwrite(str(spots / "images" / "2.png"), np.full((90, 160), 9, np.uint8))
    assert load_set(spots, 80, cache).squares_path != first.squares_path


def test_tips_follow_the_mirrored_zoomed_and_shifted_picture(spots, tmp_path):
    images = load_set(spots, 80, tmp_path / "cache")
    rng = np.random.default_rng(5)
    seen = 0
    for _ in range(60):
        square, boxes = changed(images.squares()[1], images.boxes[1], STRONG, rng)
        if len(boxes) == 0 or not (boxes[0, :2].min() > 6 and boxes[0, :2].max() < 73):
            continue
        np.testing.assert_allclose(centre_of_light(square), boxes[0, :2], atol=0.4)
        seen += 1
    assert seen > 30


def test_a_window_shows_the_tip_in_its_share_and_the_label_follows(spots, tmp_path):
    images = load_set(spots, 80, tmp_path / "cache")
    windows = AugmentSettings(crop_px=32, tip_share=1.0, mirror_share=0.5, zoom=(0.9, 1.1))
    rng = np.random.default_rng(6)
    for _ in range(30):
        square, boxes = changed(images.squares()[1], images.boxes[1], windows, rng)
        assert square.shape == (32, 32)
        (box,) = boxes
        if box[:2].min() > 5 and box[:2].max() < 26:
            np.testing.assert_allclose(centre_of_light(square), box[:2], atol=0.5)


@pytest.mark.parametrize("seed", range(12))
def test_marks_are_drawn_but_never_on_a_tip(seed):
    boxes = np.array([[64.0, 64.0, 18.0, 10.0]])
    square = np.full((128, 128), 40, np.uint8)
    marked = with_marks(square, boxes, np.random.default_rng(seed))
    assert (marked != square).sum() > 3
    assert (marked[59 - 20 : 69 + 20, 55 - 20 : 73 + 20] == 40).all()
    assert (square == 40).all(), "the image itself is left alone"


@pytest.mark.parametrize("zooms_boxes", [True, False])
def test_boxes_grow_with_the_picture_unless_their_size_is_agreed(zooms_boxes):
    larger = AugmentSettings(brightness=(1.0, 1.0), zoom=(2.0, 2.0), zooms_boxes=zooms_boxes)
    box = np.array([[50.0, 50.0, 20.0, 12.0]])
    _, (after,) = changed(np.zeros((96, 96), np.uint8), box, larger, np.random.default_rng(1))
    np.testing.assert_allclose(after[:2], [52.5, 52.5])
    np.testing.assert_allclose(after[2:], [40, 24] if zooms_boxes else [20, 12])


@pytest.mark.parametrize("how", [{"blur_px": (1.5, 1.5)}, {"jpeg_share": 1.0}])
def test_a_recorded_picture_is_coarser_with_its_tip_where_it_was(how):
    sharp = np.random.default_rng(0).integers(90, 110, (96, 96), np.uint8)
    boxes = np.array([[40.0, 50.0, 20.0, 12.0]])
    unchanged = AugmentSettings(brightness=(1.0, 1.0))
    plain, _ = changed(sharp, boxes, unchanged, np.random.default_rng(1))
    coarse, kept = changed(sharp, boxes, replace(unchanged, **how), np.random.default_rng(1))
    np.testing.assert_array_equal(plain, sharp)
    assert np.abs(np.diff(coarse.astype(int))).mean() < np.abs(np.diff(sharp.astype(int))).mean()
    np.testing.assert_array_equal(kept, boxes)


@pytest.mark.parametrize(
    ("how", "is_more_uneven"),
    [
        ({"depth_gain": 0.5}, True),
        ({"sharpen": (2.0, 2.0)}, True),
        ({"despeckle_share": 1.0}, False),
    ],
)
def test_a_scanners_settings_change_the_look_and_leave_the_tip_where_it_was(how, is_more_uneven):
    speckled = np.random.default_rng(0).integers(90, 110, (96, 96), np.uint8)
    boxes = np.array([[40.0, 50.0, 20.0, 12.0]])
    settings = AugmentSettings(brightness=(1.0, 1.0), **how)
    scanned, kept = changed(speckled, boxes, settings, np.random.default_rng(1))
    assert (scanned.std() > speckled.std()) == is_more_uneven
    np.testing.assert_array_equal(kept, boxes)


def test_a_picture_made_wider_takes_its_tip_along():
    wider = AugmentSettings(brightness=(1.0, 1.0), aspect=(1.5, 1.5))
    picture = np.zeros((96, 96), np.uint8)
    cv2.circle(picture, (60, 30), 4, 250, -1)
    boxes = np.array([[60.0, 30.0, 20.0, 12.0]])
    square, (after,) = changed(picture, boxes, wider, np.random.default_rng(1))
    np.testing.assert_allclose(after, [47.5 + 1.5 * 12.5, 30, 20, 12])
    np.testing.assert_allclose(centre_of_light(square), after[:2], atol=0.2)


def test_a_tip_that_leaves_the_square_is_no_label_any_more(spots, tmp_path):
    images = load_set(spots, 80, tmp_path / "cache")
    away = AugmentSettings(zoom=(9.0, 9.0))
    _, boxes = changed(images.squares()[0], images.boxes[0], away, np.random.default_rng(0))
    assert boxes.shape == (0, 4)


def test_as_published_only_the_brightness_changes(spots, tmp_path):
    images = load_set(spots, 80, tmp_path / "cache")
    square, boxes = changed(
        images.squares()[0], images.boxes[0], AugmentSettings(), np.random.default_rng(2)
    )
    np.testing.assert_array_equal(boxes, images.boxes[0])
    ratio = square[images.squares()[0] > 200] / images.squares()[0][images.squares()[0] > 200]
    assert ratio.min() > 0.89 and ratio.max() < 1.11
    assert ratio.max() - ratio.min() < 0.01


def test_an_item_depends_on_seed_epoch_and_image_only(spots, tmp_path):
    images = load_set(spots, 80, tmp_path / "cache")
    items = TipImages([(images, range(3))], STRONG, seed=4)
    first, same, other = items[0, 1], items[0, 1], items[1, 1]
    np.testing.assert_array_equal(first["square"], same["square"])
    assert not np.array_equal(first["square"], other["square"])


def test_an_epoch_goes_through_every_image_once_and_the_next_in_another_order():
    order = EpochOrder(50, None, seed=1)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(index for _, index in first) == sorted(index for _, index in second)
    assert [index for _, index in first] != [index for _, index in second]
    assert {epoch for epoch, _ in second} == {1}
    assert len(list(EpochOrder(50, 8, seed=1))) == 8


def test_fewer_images_of_a_seed_are_among_the_more(tmp_path):
    few, more = (DataSource(tmp_path, most, seed=3).chosen(100) for most in (10, 40))
    assert (len(few), len(more)) == (10, 40)
    assert set(few) < set(more)
    assert DataSource(tmp_path).chosen(5) == [0, 1, 2, 3, 4]
    assert few != DataSource(tmp_path, 10, seed=4).chosen(100)


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no labelled images"):
        load_set(tmp_path, 80, tmp_path / "cache")
