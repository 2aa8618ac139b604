import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RTStructureSetStorage

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle
from needle_backend.core.review_log import ReviewedNeedle
from needle_backend.export.dicom_reference import new_reference, read_reference
from needle_backend.export.rtstruct import POINT_EVERY_MM, contour_points, write_rtstruct


@pytest.fixture
def written(tmp_path, reviewed, ct_folder):
    write_rtstruct(tmp_path / "needles.dcm", reviewed, read_reference(ct_folder))
    return dcmread(tmp_path / "needles.dcm")


def contours(dataset):
    return [
        np.array(roi.ContourSequence[0].ContourData, float).reshape(-1, 3)
        for roi in dataset.ROIContourSequence
    ]


def test_there_is_one_roi_a_needle_but_none_for_a_rejected_one(written):
    assert written.SOPClassUID == RTStructureSetStorage
    assert [roi.ROIName for roi in written.StructureSetROISequence] == ["N01", "N02", "N04"]
    numbers = [1, 2, 3]
    assert [roi.ROINumber for roi in written.StructureSetROISequence] == numbers
    assert [roi.ReferencedROINumber for roi in written.ROIContourSequence] == numbers
    assert [roi.ReferencedROINumber for roi in written.RTROIObservationsSequence] == numbers


def test_a_contour_runs_from_the_tip_to_the_handle(written, reviewed):
    kept = [item.needle for item in reviewed if not item.is_rejected]
    for points, needle in zip(contours(written), kept, strict=True):
        np.testing.assert_allclose(points[0], needle.tip_lps, atol=5e-4)
        np.testing.assert_allclose(points[-1], needle.handle_lps, atol=5e-4)


def test_points_lie_close_together_on_the_line(reviewed):
    points = contour_points(reviewed[0].needle)
    steps = np.diff(points, axis=0)
    assert np.linalg.norm(steps, axis=1).max() <= POINT_EVERY_MM
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-9)


def test_it_belongs_to_the_ct_and_its_patient(written, ct_folder):
    images = [dcmread(path) for path in ct_folder.iterdir()]
    assert written.StudyInstanceUID == images[0].StudyInstanceUID
    assert written.SeriesInstanceUID != images[0].SeriesInstanceUID
    assert (str(written.PatientName), written.PatientID) == ("Bäcker^Ägidius", "4711")
    frame = written.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    assert {roi.ReferencedFrameOfReferenceUID for roi in written.StructureSetROISequence} == {
        images[0].FrameOfReferenceUID
    }
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == {
        image.SOPInstanceUID for image in images
    }


def test_it_says_who_placed_each_needle_and_that_nobody_approved_the_set(written):
    rois = written.StructureSetROISequence
    assert [roi.ROIGenerationAlgorithm for roi in rois] == ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
    assert rois[1].ROIDescription == (
        "edited, 184.2 mm from tip to hub centre; confidence 41 %; doubts: its shaft fades"
    )
    assert {o.RTROIInterpretedType for o in written.RTROIObservationsSequence} == {"BRACHY_CHANNEL"}
    assert written.ApprovalStatus == "UNAPPROVED"


def test_without_a_dicom_ct_it_names_no_images(tmp_path, reviewed):
    write_rtstruct(tmp_path / "needles.dcm", reviewed, new_reference())
    written = dcmread(tmp_path / "needles.dcm")
    assert written.PatientName == ""
    assert "RTReferencedStudySequence" not in written.ReferencedFrameOfReferenceSequence[0]


def test_names_and_doubts_of_any_length_and_alphabet_are_written(tmp_path):
    needle = Needle((0, 0, 0), (0, 0, 150.0), doubts=("шафт" * 500,), id="a\\b" + "x" * 100)
    write_rtstruct(tmp_path / "needles.dcm", [ReviewedNeedle(needle)], new_reference())
    roi = dcmread(tmp_path / "needles.dcm").StructureSetROISequence[0]
    assert roi.ROIName == "a/b" + "x" * 61
    assert len(roi.ROIDescription) == 1024


def test_nothing_is_written_where_nothing_is_left_to_export(tmp_path, reviewed):
    rejected = [item for item in reviewed if item.is_rejected]
    with pytest.raises(InputError, match="no needles to export"):
        write_rtstruct(tmp_path / "needles.dcm", rejected, new_reference())
    assert list(tmp_path.iterdir()) == []
