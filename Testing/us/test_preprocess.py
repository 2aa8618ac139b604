"""Frames in a square and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.us.preprocess import letterbox, normalised

sides = st.integers(16, 1500)


@given(sides, sides, st.sampled_from([320, 640]), st.floats(0, 1), st.floats(0, 1))
def test_boxes_come_back_from_the_square_as_they_were(rows, columns, size_px, x, y):
    square, frame = letterbox(np.zeros((rows, columns), np.uint8), size_px)
    assert square.shape == (size_px, size_px)
    boxes = np.array([[x * columns, y * rows, 36.0, 20.0]])
    np.testing.assert_allclose(frame.to_source(frame.to_square(boxes)), boxes, atol=1e-9)


@pytest.mark.parametrize("shape", [(480, 640), (860, 1080), (700, 300), (200, 150)])
def test_a_bright_spot_lies_in_the_square_where_its_box_says(shape):
    image = np.zeros(shape, np.uint8)
    cv2.circle(image, (shape[1] // 3, shape[0] // 2), 9, 255, -1)
    square, frame = letterbox(image, 320)
    rows, columns = np.indices(square.shape)
    seen = [np.average(axis, weights=square.astype(float)) for axis in (columns, rows)]
    expected = frame.to_square(np.array([[shape[1] // 3, shape[0] // 2, 18, 18]]))[0, :2]
    np.testing.assert_allclose(seen, expected, atol=0.1)


def test_the_shape_is_kept_and_the_rest_is_black():
    square, _ = letterbox(np.full((300, 600), 200, np.uint8), 64)
    assert (square[:32] == 200).all()
    assert (square[32:] == 0).all()


def test_normalising_gives_the_published_z_score():
    grey = normalised(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    assert grey.shape == (1, 1, 1, 2)
    expected = [(0 - 0.3125) / 0.2594, (1 - 0.3125) / 0.2594]
    np.testing.assert_allclose(grey[0, 0, 0].numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "image",
    [np.zeros((50, 50, 3), np.uint8), np.zeros((50, 50)), np.zeros((3, 900), np.uint8)],
    ids=["colour", "float", "thin"],
)
def test_what_is_no_usable_grey_frame_is_refused(image):
    with pytest.raises(InputError, match="frame"):
        letterbox(image, 64)
