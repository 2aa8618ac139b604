import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.hounsfield import AIR_HU, LOWEST_HU, as_hounsfield


@pytest.fixture
def ct():
    return np.random.default_rng(3).integers(-1000, 2000, (4, 8, 8))


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_a_ct_of_integers_becomes_int16(ct, dtype):
    values, warnings = as_hounsfield(ct.astype(dtype), "case")
    assert values.dtype == np.int16
    np.testing.assert_array_equal(values, ct)
    assert warnings == ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_ct_of_floats_stays_one(ct, dtype):
    values, warnings = as_hounsfield(ct.astype(dtype), "case")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, ct)
    assert warnings == ()


def test_padding_becomes_air(ct):
    ct[0, 0, 0] = -8192
    values, _ = as_hounsfield(ct, "case")
    assert values.min() == LOWEST_HU


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (lambda ct: (ct / 20 + 60).astype(np.uint8), "8-bit"),
        (lambda ct: (ct + 1024).astype(np.uint16), "none is negative"),
        (lambda ct: ct.astype(np.int32) + 32768, "none is negative"),
        (lambda ct: ct / 2000.0, "are not Hounsfield units"),
        (lambda ct: ct * 1000.0, "are not Hounsfield units"),
    ],
)
def test_values_that_cannot_be_hounsfield_units_are_doubted_and_kept(ct, change, doubt):
    given = change(ct)
    values, warnings = as_hounsfield(given, "case")
    assert len(warnings) == 1
    assert warnings[0].startswith("case:")
    assert doubt in warnings[0]
    np.testing.assert_allclose(values, np.maximum(given.astype(float), LOWEST_HU))


def test_single_nans_are_taken_for_air_and_said(ct):
    given = ct.astype(float)
    given[0] = np.nan
    given[1, 0, 0] = np.inf
    values, warnings = as_hounsfield(given, "case")
    assert (values[0] == AIR_HU).all()
    assert values[1, 0, 0] == AIR_HU
    assert "25.4% of the voxels are not numbers" in warnings[0]


def test_nothing_but_nan_is_refused():
    with pytest.raises(InputError, match="only NaN"):
        as_hounsfield(np.full((4, 8, 8), np.nan), "case")


def test_a_constant_volume_is_refused():
    with pytest.raises(InputError, match="the value -1000 everywhere"):
        as_hounsfield(np.full((4, 8, 8), -1000, np.int16), "case")


def test_complex_values_are_refused():
    with pytest.raises(InputError, match="no plain numbers"):
        as_hounsfield(np.ones((4, 8, 8), complex), "case")
