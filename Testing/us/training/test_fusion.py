"""Generated tips are put into needle-free images where a needle can be, with the right boxes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from us.training.tip_sets import speckle

from needle_backend.core.errors import InputError
from needle_backend.us.training.fusion import (
    FusionOrder,
    FusionSettings,
    Placement,
    blend,
    fuse_images,
    place,
)
from needle_backend.us.training.patches import PADDING_PX, cut_patch

TIP = np.full((64, 64), 128, np.uint8)


def fan(rows=300, columns=400):
    """The sector of a curved probe."""
    mask = np.zeros((rows, columns), np.uint8)
    return cv2.ellipse(mask, (200, -20), (290, 290), 0, 55, 125, 1, -1).astype(bool)


def rectangle_of(placement):
    rows, columns = placement.patch.shape
    return np.s_[placement.top : placement.top + rows, placement.left : placement.left + columns]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_tips_lie_inside_the_sector_and_apart(seed, count):
    sector = fan()
    placements = place(sector, [TIP] * count, FusionSettings(), np.random.default_rng(seed))
    used = np.zeros(sector.shape, int)
    for placement in placements:
        used[rectangle_of(placement)] += 1
    assert used.max() == 1
    assert sector[used == 1].all()


def test_sizes_are_spread_as_published():
    rng = np.random.default_rng(1)
    sector = np.ones((480, 640), bool)
    boxes = np.array(
        [p.box for _ in range(160) for p in place(sector, [TIP] * 3, FusionSettings(), rng)]
    )
    assert len(boxes) == 480
    assert boxes[:, 2].mean() == pytest.approx(36, abs=1.5)
    assert boxes[:, 3].mean() == pytest.approx(20, abs=1)
    # Values beyond two deviations lie at two, which leaves 0.96 of the spread.
    assert boxes[:, 2].std() == pytest.approx(0.96 * 10, rel=0.12)
    assert boxes[:, 3].std() == pytest.approx(0.96 * 6, rel=0.12)


def test_sizes_follow_the_size_of_the_image():
    rng = np.random.default_rng(1)
    steady = FusionSettings(1, (20, 0), (36, 0))
    (small,) = place(np.ones((240, 320), bool), [TIP], steady, rng)
    assert small.box[2:] == (18, 10)


def test_places_are_uniform_and_central_where_asked():
    rng = np.random.default_rng(1)
    sector = np.ones((480, 640), bool)
    one = FusionSettings(1, (20, 0), (36, 0))
    left = [place(sector, [TIP], one, rng)[0].left for _ in range(250)]
    counts, _ = np.histogram(left, 5, (0, 640 - 46))
    assert counts.min() > 30
    middle = replace(one, central_share=0.6)
    for _ in range(50):
        (placement,) = place(sector, [TIP], middle, rng)
        assert 128 <= placement.left <= 512 - 46
        assert 96 <= placement.top <= 384 - 30


def test_tips_for_which_there_is_no_room_are_left_out():
    sector = np.zeros((480, 640), bool)
    sector[100:140, 100:170] = True
    found = place(sector, [TIP] * 9, FusionSettings(9, (20, 0), (36, 0)), np.random.default_rng(1))
    assert len(found) == 1


def test_the_picture_changes_only_where_tips_are(tip_patch, background):
    placements = [Placement(tip_patch, 40, 50), Placement(tip_patch, 120, 90)]
    image = blend(background, placements)
    changed = image.astype(int) != background
    for placement in placements:
        assert changed[rectangle_of(placement)].mean() > 0.3
        changed[rectangle_of(placement)] = False
    assert not changed.any()


def test_the_seam_is_as_smooth_as_the_background(background):
    """A brighter patch takes the background's level: that is what Poisson editing is for."""
    bright = np.clip(background[:30, :46].astype(int) + 120, 0, 255).astype(np.uint8)
    placement = Placement(bright, 70, 40)
    image = blend(background, [placement])
    assert abs(image[rectangle_of(placement)].mean() - background.mean()) < 25


def test_the_box_cut_again_is_the_patch_that_was_put_in(tip_patch):
    flat = np.full((200, 300), 30, np.uint8)
    placement = Placement(tip_patch, 40, 50)
    image = blend(flat, [placement])
    again = cut_patch(image, np.array(placement.box))
    shown = cv2.resize(image[rectangle_of(placement)], (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(again, shown)
    middle = np.unravel_index(cv2.GaussianBlur(again, (0, 0), 2).argmax(), again.shape)
    np.testing.assert_allclose(middle, 31.5, atol=4)


@pytest.fixture
def tip_patch():
    """A bright spot in the middle of dark padding."""
    patch = np.full((20 + 2 * PADDING_PX, 36 + 2 * PADDING_PX), 30, np.uint8)
    return cv2.circle(patch, (23, 15), 4, 255, -1)


@pytest.fixture
def background():
    return speckle(np.random.default_rng(4), 200, 300)


@pytest.fixture
def order(tmp_path, tip_patch, background):
    for name, image in (("backgrounds", background), ("tips", cv2.resize(tip_patch, (64, 64)))):
        (tmp_path / name).mkdir()
        for number in range(2):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    return FusionOrder(tmp_path / "backgrounds", tmp_path / "tips", tmp_path / "fused", 4, seed=3)


def files_of(order):
    return {image.path.name: image.path.read_bytes() for image in fuse_images(order)}


def test_the_same_seed_gives_the_same_images(order):
    first = files_of(order)
    assert len(set(first.values())) == 4
    assert files_of(replace(order, output=order.output / "again")) == first
    assert files_of(replace(order, output=order.output / "other", seed=4)) != first


def test_a_stopped_run_keeps_its_images_and_knows_their_boxes(order):
    first = list(fuse_images(replace(order, count=2)))
    first[0].path.write_bytes(b"kept")
    second = list(fuse_images(order))
    assert second[0].path.read_bytes() == b"kept"
    for before, after in zip(first, second[:2], strict=True):
        np.testing.assert_array_equal(before.boxes, after.boxes)


def test_a_sector_without_room_is_refused_by_name(order):
    narrow = np.zeros((70, 70), np.uint8)
    for path in order.backgrounds.iterdir():
        cv2.imwrite(str(path), narrow)
    large = replace(order, settings=FusionSettings(1, (900, 0), (900, 0)))
    with pytest.raises(InputError, match=r"0\.png|1\.png"):
        list(fuse_images(large))


def test_an_empty_folder_is_refused(order, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no"):
        list(fuse_images(replace(order, tips=tmp_path / "empty")))
