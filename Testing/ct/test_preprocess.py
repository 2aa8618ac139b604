"""The white top-hat and what the network gets to see."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.ct.preprocess import (
    InputSettings,
    neighbour_stack,
    network_input,
    network_input_torch,
    white_top_hat,
    white_top_hat_on,
)


def itk_top_hat(array: np.ndarray) -> np.ndarray:
    filtered = [
        sitk.WhiteTopHat(sitk.GetImageFromArray(plane), (5, 5), sitk.sitkBall) for plane in array
    ]
    return np.stack([sitk.GetArrayFromImage(plane) for plane in filtered])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 45),
    columns=st.integers(1, 45),
    kind=st.sampled_from([np.int16, np.uint8, np.uint16, np.float32]),
)
def test_top_hat_equals_simpleitk_voxel_for_voxel_borders_too(seed, rows, columns, kind):
    rng = np.random.default_rng(seed)
    low = 0 if np.issubdtype(kind, np.unsignedinteger) else -1024
    array = rng.integers(low, 250 if kind is np.uint8 else 3071, (2, rows, columns)).astype(kind)
    result = white_top_hat(array)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, itk_top_hat(array))


def test_top_hat_of_a_gpu_equals_that_of_the_cpu():
    array = np.random.default_rng(0).integers(-1024, 3071, (3, 40, 52)).astype(np.int16)
    result = white_top_hat_on("cpu", array)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, white_top_hat(array))


def test_top_hat_keeps_a_shaft_and_drops_a_bone():
    slices = np.full((1, 80, 80), 40, np.int16)
    slices[0, 10, 10:70] = 900
    slices[0, 40:70, 30:60] = 900
    result = white_top_hat(slices)
    assert result[0, 10, 40] == 860
    assert result[0, 55, 45] == 0


def test_windows_map_hu_to_the_unit_interval_and_clamp():
    hu = np.array([-2000, -1000, -100, 800, 3000]).reshape(1, 1, 5)
    seen = network_input(hu, InputSettings(windows_hu=((-1000.0, 800.0),), neighbours=0))
    np.testing.assert_allclose(seen.ravel(), [0, 0, 0.5, 1, 1])


def test_channels_are_windows_times_neighbours():
    settings_ = InputSettings(windows_hu=((-1000.0, 800.0), (-150.0, 450.0)), neighbours=1)
    stack = np.zeros((4, 3, 16, 16))
    assert network_input(stack, settings_).shape[1] == settings_.channels == 6


@pytest.mark.parametrize(("k", "expected"), [(0, [0, 0, 1]), (2, [1, 2, 3]), (3, [2, 3, 3])])
def test_the_first_and_last_slice_are_their_own_neighbours(k, expected):
    volume = np.arange(4)[:, None, None]
    assert neighbour_stack(volume, k, 1).ravel().tolist() == expected


def test_the_networks_input_on_a_device_is_the_same_padded_with_air_to_a_multiple_of_32():
    hu = np.random.default_rng(1).integers(-1200, 1200, (2, 3, 33, 64)).astype(np.int16)
    seen = network_input_torch(torch.from_numpy(hu), InputSettings()).numpy()
    assert seen.shape == (2, 6, 64, 64)
    np.testing.assert_array_equal(seen[:, :, :33], network_input(hu, InputSettings()))
    np.testing.assert_array_equal(seen[:, :, 33:], 0)
