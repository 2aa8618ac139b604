import gzip
import os
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from needle_backend.core.errors import InputError
from needle_backend.core.volume_io import read_volume

SPACING_MM = (0.8, 0.9, 5.0)
ORIGIN_LPS = (-20.0, -30.0, 100.0)


@pytest.fixture
def array():
    return np.random.default_rng(5).integers(-1000, 1500, (6, 30, 40)).astype(np.int16)


@pytest.fixture
def image(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(ORIGIN_LPS)
    return image


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha", "ct.mhd"])
def test_common_formats_are_read_alike(tmp_path, image, array, name):
    sitk.WriteImage(image, tmp_path / name, useCompression=name != "ct.mhd")
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.spacing_mm, SPACING_MM, rtol=1e-6)
    np.testing.assert_allclose(volume.origin_lps, ORIGIN_LPS, rtol=1e-6)
    assert volume.source == str(tmp_path / name)
    assert volume.warnings == ()


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "ASL", "LIP"])
def test_any_orientation_is_turned_to_lps(tmp_path, image, array, orientation):
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.origin_lps, ORIGIN_LPS, atol=1e-4)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.nii\.gz does not exist"):
        read_volume(tmp_path / "none.nii.gz")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(InputError, match="is not a file"):
        read_volume(tmp_path / "pipe.nii")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "ct.nii.gz").touch()
    with pytest.raises(InputError, match="is empty"):
        read_volume(tmp_path / "ct.nii.gz")


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nrrd", "ct.mha", "ct.txt", "ct"])
def test_what_is_no_image_is_refused(tmp_path, name):
    (tmp_path / name).write_text("The patient lay on the table.\n")
    with pytest.raises(InputError, match="is not an image that can be read"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha"])
@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_a_file_cut_short_is_refused_whatever_its_format(tmp_path, image, name, kept):
    sitk.WriteImage(image, tmp_path / name, useCompression=True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match="cut short"):
        read_volume(tmp_path / name)


def test_a_damaged_gz_is_refused(tmp_path, image):
    path = tmp_path / "ct.nii.gz"
    sitk.WriteImage(image, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_volume(path)


def test_a_2d_image_is_refused(tmp_path, image):
    sitk.WriteImage(image[:, :, 2], tmp_path / "slice.nii.gz")
    with pytest.raises(InputError, match="is a 2D image"):
        read_volume(tmp_path / "slice.nii.gz")


def test_a_single_slice_is_refused(tmp_path, image):
    sitk.WriteImage(image[:, :, 2:3], tmp_path / "slice.nii.gz")
    with pytest.raises(InputError, match="40 x 30 x 1 voxels"):
        read_volume(tmp_path / "slice.nii.gz")


def test_a_series_over_time_is_refused(tmp_path, image):
    sitk.WriteImage(sitk.JoinSeries([image, image, image]), tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match="4D image holding 3 volumes"):
        read_volume(tmp_path / "ct.nii.gz")


def test_a_single_point_in_time_is_a_volume(tmp_path, image, array):
    sitk.WriteImage(sitk.JoinSeries([image]), tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii.gz").array, array)


def test_a_colour_image_is_refused(tmp_path, image):
    grey = sitk.Cast(image, sitk.sitkUInt8)
    sitk.WriteImage(sitk.Compose(grey, grey, grey), tmp_path / "photo.nrrd")
    with pytest.raises(InputError, match="colour"):
        read_volume(tmp_path / "photo.nrrd")


def test_an_8_bit_image_is_read_with_a_warning(tmp_path, image):
    sitk.WriteImage(sitk.Cast(image, sitk.sitkUInt8), tmp_path / "ct.nii.gz")
    assert "8-bit" in read_volume(tmp_path / "ct.nii.gz").warnings[0]


def test_a_float_image_is_read(tmp_path, image, array):
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat64), tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, array)


@pytest.mark.parametrize("value", [np.nan, -1000.0])
def test_a_volume_without_contrast_is_refused(tmp_path, value):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((6, 30, 40), value)), tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match="NaN|everywhere"):
        read_volume(tmp_path / "ct.nii.gz")


def altered_nifti(path, image, *changes):
    """Write a NIfTI file and overwrite header fields: (offset, struct format, values...)."""
    whole = path.with_name("whole.nii")
    sitk.WriteImage(image, whole)
    content = bytearray(whole.read_bytes())
    for offset, form, *values in changes:
        struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)))
    return path


def test_a_size_that_cannot_be_is_refused_before_memory_is_taken(tmp_path, image):
    path = altered_nifti(tmp_path / "ct.nii.gz", image, (40, "<4h", 3, 30000, 30000, 30000))
    with pytest.raises(InputError, match="more than the 600 million"):
        read_volume(path)


def test_contradicting_voxel_sizes_are_refused(tmp_path, image):
    path = altered_nifti(tmp_path / "ct.nii.gz", image, (80, "<3f", 1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=r"voxel size twice, as 1 x 1 x 1 and as 0\.8 x 0\.9 x 5"):
        read_volume(path)


def test_sheared_axes_are_refused(tmp_path, image):
    sheared = (-0.8, 0, 0, 20, 0, -0.9, 1.5, 30, 0, 0, 4.77, 100)
    path = altered_nifti(tmp_path / "ct.nii.gz", image, (252, "<2h", 0, 1), (280, "<12f", *sheared))
    with pytest.raises(InputError, match="not perpendicular"):
        read_volume(path)


def test_a_nifti_that_does_not_say_where_it_lies_is_read_with_a_warning(tmp_path, image, array):
    path = altered_nifti(tmp_path / "ct.nii.gz", image, (252, "<2h", 0, 0))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, array)
    assert "left and right may be swapped" in volume.warnings[0]


def test_image_libraries_print_nothing(tmp_path, image, capfd):
    sitk.WriteImage(image, tmp_path / "ct.mha", useCompression=True)
    content = (tmp_path / "ct.mha").read_bytes()
    (tmp_path / "ct.mha").write_bytes(content[:-100])
    capfd.readouterr()
    with pytest.raises(InputError):
        read_volume(tmp_path / "ct.mha")
    assert capfd.readouterr() == ("", "")
