"""Activation maps over frames."""

from __future__ import annotations

import numpy as np
import pytest
from us.planted import Planted, write_untrained_weights

from needle_backend.us.activation import activation_map, laid_over
from needle_backend.us.detect import TipDetector


@pytest.fixture
def detector(tmp_path) -> TipDetector:
    """Sees something at (52, 28) of its 64 x 64 square."""
    detector = TipDetector(str(write_untrained_weights(tmp_path)), "cpu")
    detector._network = Planted((6, 3, 0.5, 0.5, 0.0, 0.0, 0.9)).eval()
    return detector


def test_the_map_is_strongest_where_the_network_looks(detector):
    activation = activation_map(detector, np.zeros((64, 128), np.uint8))
    assert activation.shape == (64, 128)
    assert (activation.min(), activation.max()) == pytest.approx((0, 1), abs=0.1)
    row, column = np.unravel_index(activation.argmax(), activation.shape)
    assert abs(column - 112) <= 8 and abs(row - 48) <= 8, "the middle of the cell of stride 16"


def test_a_network_that_looks_nowhere_gives_an_even_map(detector):
    detector._network = Planted().eval()
    assert (activation_map(detector, np.zeros((64, 64), np.uint8)) == 0).all()


def test_laid_over_a_frame_it_colours_where_it_is_strong():
    frame = np.full((10, 20), 100, np.uint8)
    activation = np.zeros((10, 20), np.float32)
    activation[:, 10:] = 1.0
    picture = laid_over(frame, activation)
    assert picture.shape == (10, 20, 3)
    blue, _, red = picture[5, 15]
    assert red > blue
    blue, _, red = picture[5, 5]
    assert blue > red
