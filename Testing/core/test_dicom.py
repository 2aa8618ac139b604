import numpy as np
import pytest
from core.dicom_writer import axial_positions, write_series

from needle_backend.core.errors import InputError
from needle_backend.core.volume_io import read_volume

SLICES_MM = [5.0 * i for i in range(8)]


@pytest.fixture
def array():
    values = np.random.default_rng(7).integers(-1000, 1500, (8, 40, 50))
    return values.astype(np.int16)


def test_a_series_is_read_in_hounsfield_units_in_the_order_of_its_positions(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM))
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.spacing_mm, (0.8, 0.8, 5.0))
    np.testing.assert_allclose(volume.origin_lps, (-20.0, -30.0, 0.0))
    assert volume.warnings == ()


def test_a_prone_feet_first_series_is_turned_to_lps(tmp_path, array):
    positions = [(20.0, 30.0, z) for z in SLICES_MM]
    write_series(tmp_path, array, positions, orientation=(-1, 0, 0, 0, -1, 0))
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, array[:, ::-1, ::-1])
    np.testing.assert_allclose(volume.origin_lps, (20.0 - 49 * 0.8, 30.0 - 39 * 0.8, 0.0))


def test_two_series_are_listed_and_a_choice_is_asked_for(tmp_path, array):
    thin = write_series(tmp_path, array, axial_positions(SLICES_MM), number=2, description="thin")
    write_series(tmp_path / "below", array, axial_positions(SLICES_MM), number=3)
    with pytest.raises(InputError, match="2 CT series.*--series.*thin.*8 images") as caught:
        read_volume(tmp_path)
    assert thin in str(caught.value)


@pytest.mark.parametrize("by", ["number", "uid"])
def test_a_series_is_chosen_by_number_or_uid(tmp_path, array, by):
    write_series(tmp_path, array, axial_positions(SLICES_MM), number=2)
    uid = write_series(tmp_path, array[::-1], axial_positions(SLICES_MM), number=3)
    volume = read_volume(tmp_path, series="3" if by == "number" else uid)
    np.testing.assert_array_equal(volume.array, array[::-1])


def test_a_series_that_is_not_there_is_refused_with_what_is(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM), number=2)
    with pytest.raises(InputError, match="no CT series 9; there are: 2"):
        read_volume(tmp_path, series="9")


def test_scouts_and_other_modalities_need_no_choice(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM), number=2)
    scout = ("ORIGINAL", "PRIMARY", "LOCALIZER")
    write_series(tmp_path, array[:1], axial_positions([0.0]), number=1, image_type=scout)
    write_series(tmp_path, array, axial_positions(SLICES_MM), number=4, modality="PT")
    np.testing.assert_array_equal(read_volume(tmp_path).array, array)


def test_a_folder_without_ct_is_refused_with_what_it_holds(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM), modality="MR")
    with pytest.raises(InputError, match="no CT images, only MR"):
        read_volume(tmp_path)


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(InputError, match="holds no DICOM images"):
        read_volume(tmp_path)


def test_a_missing_slice_is_refused_with_its_place(tmp_path, array):
    z_mm = [z for z in SLICES_MM if z != 15.0]
    write_series(tmp_path, array[: len(z_mm)], axial_positions(z_mm))
    with pytest.raises(InputError, match=r"slice missing between 10\.0 and 20\.0 mm"):
        read_volume(tmp_path)


def test_unequal_spacing_is_resampled_in_place_and_said(tmp_path):
    z_mm = [0.0, 5.0, 10.0, 13.0, 16.0, 21.0, 26.0, 31.0]
    # Values that grow with z show where every slice ended up.
    array = np.stack([np.full((40, 50), 10 * z) for z in z_mm])
    write_series(tmp_path, array, axial_positions(z_mm))
    volume = read_volume(tmp_path)
    z_of_slices = volume.ijk_to_lps(np.array([[0, 0, k] for k in range(len(volume.array))]))[:, 2]
    np.testing.assert_allclose(z_of_slices, np.arange(0, 31, 5.0))
    np.testing.assert_allclose(volume.array[:, 0, 0], 10 * z_of_slices, atol=1)
    assert any("3.0 to 5.0 mm apart" in warning for warning in volume.warnings)


def test_a_tilted_gantry_is_resampled_to_where_things_are(tmp_path):
    tilt = np.radians(15)
    column_axis = np.array([0, np.cos(tilt), np.sin(tilt)])
    positions = axial_positions([2.0 * i for i in range(30)])
    rows = np.arange(120) * 0.8
    # A rod along the patient's z at y = 10 mm leaves another row in every tilted slice.
    array = np.full((30, 120, 50), -1000)
    for k in range(30):
        row_y = positions[k][1] + rows * column_axis[1]
        array[k] += (2000 * np.exp(-(((row_y - 10.0) / 2.0) ** 2))[:, None]).astype(int)
    write_series(tmp_path, array, positions, orientation=(1, 0, 0, 0, *column_axis[1:]))
    volume = read_volume(tmp_path)
    # The first and last slice hold the rod's cut end, which fades into the air around.
    inside = np.flatnonzero(volume.array.max(axis=(1, 2)) > 500)[1:-1]
    weights = volume.array[inside].astype(float) + 1000
    y_mm = volume.ijk_to_lps(np.array([[0, j, 0] for j in range(volume.array.shape[1])]))[:, 1]
    middle = (weights * y_mm[None, :, None]).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    assert len(inside) > 25
    np.testing.assert_allclose(middle, 10.0, atol=0.3)
    assert any("tilted by 15.0 degrees" in warning for warning in volume.warnings)


def test_doubled_positions_are_refused(tmp_path, array):
    write_series(tmp_path, array, axial_positions([0, 5, 10, 15, 0, 5, 10, 15]))
    with pytest.raises(InputError, match="several images at the same place"):
        read_volume(tmp_path)


def test_slices_shifted_sideways_are_refused(tmp_path, array):
    positions = axial_positions(SLICES_MM)
    positions[3] = (-14.0, -30.0, 15.0)
    write_series(tmp_path, array, positions)
    with pytest.raises(InputError, match=r"shifted sideways.*6\.0 mm"):
        read_volume(tmp_path)


def test_a_damaged_slice_is_noticed(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM))
    damaged = tmp_path / "1_021.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-500])
    with pytest.raises(InputError, match="slice missing|damaged or cut short"):
        read_volume(tmp_path)


def test_a_file_without_image_is_passed_over_by_name(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM))
    (tmp_path / "plan.dcm").write_bytes(b"\0" * 128 + b"DICM")
    volume = read_volume(tmp_path)
    assert any("plan.dcm" in warning for warning in volume.warnings)


def test_one_dicom_image_alone_is_refused(tmp_path, array):
    write_series(tmp_path, array, axial_positions(SLICES_MM))
    with pytest.raises(InputError, match="single DICOM image; give the folder"):
        read_volume(tmp_path / "1_000.dcm")


def test_one_slice_alone_in_a_folder_is_refused(tmp_path, array):
    write_series(tmp_path, array[:1], axial_positions([0.0]))
    with pytest.raises(InputError, match="single image"):
        read_volume(tmp_path)
