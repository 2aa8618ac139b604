import numpy as np
import pytest
from core.dicom_writer import axial_positions, write_series
from pydicom import config, dcmread

from needle_backend.core.errors import InputError
from needle_backend.export import dicom_reference
from needle_backend.export.dicom_reference import read_reference, reference_of_images


def test_a_dicom_folder_names_its_study_series_frame_and_images(ct_folder):
    reference = read_reference(ct_folder)
    images = [dcmread(path) for path in sorted(ct_folder.iterdir())]
    assert reference.study_uid == images[0].StudyInstanceUID
    assert reference.series_uid == images[0].SeriesInstanceUID
    assert reference.frame_of_reference_uid == images[0].FrameOfReferenceUID
    assert {i.sop_instance for i in reference.images} == {i.SOPInstanceUID for i in images}
    assert reference.patient_and_study["PatientName"] == "Bäcker^Ägidius"
    assert "AccessionNumber" not in reference.patient_and_study
    assert reference.warnings == ()


def test_images_are_listed_from_foot_to_head(ct_folder):
    place_of = {
        image.SOPInstanceUID: image.ImagePositionPatient[2]
        for image in map(dcmread, ct_folder.iterdir())
    }
    z_mm = [place_of[image.sop_instance] for image in read_reference(ct_folder).images]
    assert z_mm == sorted(z_mm)


def test_of_several_series_the_one_that_was_read_is_referenced(ct_folder):
    zeros = np.zeros((8, 10, 12), np.int16)
    uid = write_series(ct_folder, zeros, axial_positions([5.0 * i for i in range(8)]), number=2)
    assert read_reference(ct_folder, "2").series_uid == uid
    with pytest.raises(InputError, match="2 CT series"):
        read_reference(ct_folder)


def test_a_ct_without_a_frame_of_reference_gets_one_and_a_warning(ct_folder):
    for path in ct_folder.iterdir():
        image = dcmread(path)
        del image.FrameOfReferenceUID
        image.save_as(path)
    reference = read_reference(ct_folder)
    assert reference.frame_of_reference_uid
    assert "names no frame of reference" in reference.warnings[0]


@pytest.mark.parametrize("path", [None, "ct.nii.gz"])
def test_a_ct_that_is_no_dicom_gets_new_uids_and_a_warning(tmp_path, path):
    reference = read_reference(path and tmp_path / path)
    assert (reference.images, reference.patient_and_study) == ((), {})
    assert "did not come from DICOM" in reference.warnings[0]
    assert reference.frame_of_reference_uid != read_reference(None).frame_of_reference_uid


@pytest.mark.parametrize(
    ("name", "value"),
    [("PatientSex", "W"), ("PatientBirthDate", "19500229"), ("StudyTime", "noon")],
)
def test_what_dicom_does_not_allow_is_not_repeated(ct_folder, name, value):
    for path in ct_folder.iterdir():
        image = dcmread(path)
        with config.disable_value_validation():
            setattr(image, name, value)
            image.save_as(path)
    reference = read_reference(ct_folder)
    assert name not in reference.patient_and_study
    assert reference.patient_and_study["PatientID"] == "4711"


def test_files_of_two_series_are_refused(ct_folder, tmp_path):
    write_series(tmp_path / "other", np.zeros((1, 4, 4), np.int16), axial_positions([0.0]))
    paths = [*ct_folder.iterdir(), *(tmp_path / "other").iterdir()]
    with pytest.raises(InputError, match="not one DICOM series"):
        reference_of_images(paths)


def test_what_is_no_dicom_is_refused(tmp_path):
    (tmp_path / "x.dcm").write_text("no")
    with pytest.raises(InputError, match="cannot be read as DICOM"):
        reference_of_images([tmp_path / "x.dcm"])


def test_an_image_without_its_uids_is_refused(ct_folder):
    path = min(ct_folder.iterdir())
    image = dcmread(path)
    del image.StudyInstanceUID
    image.save_as(path)
    with pytest.raises(InputError, match="lacks its StudyInstanceUID"):
        reference_of_images([path])


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(dicom_reference, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pydicom; install it with pip install \"needle-back"):
        read_reference(None)
