"""Tip patches are cut where the labels say, and whole sequences are held out."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from us.training.tip_sets import write_sequences

from needle_backend.core.errors import InputError
from needle_backend.us.training.coco_files import LabelledImage, as_boxes, write_coco
from needle_backend.us.training.patches import (
    PADDING_PX,
    cut_patch,
    hold_out,
    patch_sheet,
    read_patch_folder,
    read_patches,
    to_grey,
    to_network,
    write_patches,
)


def test_the_tip_is_in_the_middle_of_its_patch():
    image = np.zeros((100, 200), np.uint8)
    image[50, 120] = 255
    patch = cut_patch(image, np.array([102.0, 40.0, 36.0, 20.0]))
    middle = np.array(np.unravel_index(patch.argmax(), patch.shape))
    np.testing.assert_allclose(middle, 31.5, atol=1.0)


def test_five_pixels_around_the_box_are_cut_with_it():
    image = np.zeros((100, 200), np.uint8)
    image[40 - PADDING_PX : 61 + PADDING_PX, 100 - PADDING_PX : 137 + PADDING_PX] = 200
    box = np.array([100.0, 40.0, 36.0, 20.0])
    assert (cut_patch(image, box) == 200).all()
    assert (cut_patch(image, box + [1, 0, 0, 0])[:, -1] < 200).all()


def test_no_patch_is_cut_where_the_padding_leaves_the_image():
    image = np.zeros((100, 200), np.uint8)
    assert cut_patch(image, np.array([5.0, 5.0, 36.0, 20.0])) is not None
    assert cut_patch(image, np.array([4.0, 5.0, 36.0, 20.0])) is None
    assert cut_patch(image, np.array([100.0, 75.0, 36.0, 20.0])) is None


def test_simulated_sequences_give_a_patch_a_visible_tip(tmp_path):
    patches = read_patches([write_sequences(tmp_path / "made", sequences=3, frames=4)])
    assert len(patches) == 6
    assert set(patches.sequences) == {f"made/sequence_00{i}" for i in range(3)}


def test_tips_that_hardly_stand_out_can_be_left_out(tmp_path):
    data = write_sequences(tmp_path, sequences=2, frames=4)
    truth = data / "sequence_000" / "truth.json"
    rows = json.loads(truth.read_text())
    rows["frames"][0]["contrast"], rows["frames"][2]["contrast"] = 1.2, 1.8
    truth.write_text(json.dumps(rows))
    patches = read_patches([data], least_contrast=1.5)
    assert [name.split("/")[1] for name in patches.sequences].count("sequence_000") == 1
    assert len(patches) == 3


def test_coco_sets_give_a_patch_a_box_and_a_sequence_a_name(tmp_path):
    (tmp_path / "images").mkdir()
    images = []
    for name in ("arm_1", "arm_2", "leg_1"):
        path = tmp_path / "images" / f"{name}.png"
        cv2.imwrite(str(path), np.zeros((80, 120), np.uint8))
        boxes = as_boxes([[20, 20, 30, 20], [60, 40, 30, 20]])
        images.append(LabelledImage(path, 120, 80, boxes))
    write_coco(tmp_path, images)
    patches = read_patches([tmp_path])
    assert len(patches) == 6
    assert {name.split("/")[1] for name in patches.sequences} == {"arm", "leg"}


def test_no_sequence_is_both_trained_on_and_held_out(tmp_path):
    patches = read_patches([write_sequences(tmp_path, sequences=10, frames=2)])
    fit, held = hold_out(patches, share=0.3, seed=5)
    assert len(fit) + len(held) == len(patches)
    assert len(set(held.sequences)) == 3
    assert not set(fit.sequences) & set(held.sequences)
    assert hold_out(patches, 0.3, 5)[1].sequences == held.sequences


def test_grey_levels_survive_the_way_to_the_network_and_back():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert to_network(grey).min() == -1.0
    assert to_network(grey).max() == 1.0
    np.testing.assert_array_equal(to_grey(to_network(grey)), grey)


def test_a_sheet_shows_every_patch_once():
    sheet = patch_sheet(np.arange(1, 6, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(9, 2), 3)
    assert sheet.shape == (20, 33)
    assert [int((sheet == value).sum()) for value in range(1, 6)] == [72] * 5


def test_written_patches_are_read_again_in_their_order(tmp_path):
    images = np.arange(12, dtype=np.uint8)[:, None, None].repeat(64, 1).repeat(64, 2)
    write_patches(images, tmp_path)
    np.testing.assert_array_equal(read_patch_folder(tmp_path), images)


def test_a_folder_that_holds_no_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither a COCO set"):
        read_patches([tmp_path])


def test_a_single_sequence_cannot_be_divided(tmp_path):
    patches = read_patches([write_sequences(tmp_path, sequences=1, frames=4)])
    with pytest.raises(InputError, match="at least two"):
        hold_out(patches, 0.1, 1)


def test_patches_of_another_size_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "tip_00000.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(InputError, match="32 x 32"):
        read_patch_folder(tmp_path)
