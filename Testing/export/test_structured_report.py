import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR, srread
from pydicom import dcmread
from pydicom.sr.codedict import codes

from needle_backend.core.errors import InputError
from needle_backend.export.dicom_reference import new_reference, read_reference
from needle_backend.export.structured_report import write_structured_report


@pytest.fixture
def written(tmp_path, reviewed, ct_folder):
    write_structured_report(tmp_path / "needles.dcm", reviewed, read_reference(ct_folder))
    return srread(tmp_path / "needles.dcm")


def groups(report):
    return report.content.get_image_measurement_groups()


def test_it_is_a_measurement_report_with_a_group_a_needle_that_nobody_rejected(written):
    assert isinstance(written, Comprehensive3DSR)
    assert written.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert [group.tracking_identifier for group in groups(written)] == ["N01", "N02", "N04"]
    assert {group.finding_type.value for group in groups(written)} == {"79068005"}


def test_the_length_is_measured_between_two_3d_points_tip_first(written, reviewed, ct_folder):
    kept = [item.needle for item in reviewed if not item.is_rejected]
    frame = dcmread(min(ct_folder.iterdir())).FrameOfReferenceUID
    for group, needle in zip(groups(written), kept, strict=True):
        (length,) = group.get_measurements(name=codes.SCT.Length)
        assert length.value == pytest.approx(needle.length_mm, abs=0.01)
        (line,) = length.referenced_coordinates
        np.testing.assert_allclose(line.value, [needle.tip_lps, needle.handle_lps], atol=1e-4)
        assert line.frame_of_reference_uid == frame


def test_confidence_and_review_state_stand_beside_it(written):
    first, second, added = (
        {m.name.meaning: m.value for m in group.get_measurements()} for group in groups(written)
    )
    assert first["Probability that both ends are right"] == pytest.approx(0.97)
    assert "Probability that both ends are right" not in added
    assert second["Angle to the axial plane"] == pytest.approx(2.8, abs=0.01)
    answers = [
        [item.value.meaning for item in group.get_qualitative_evaluations()]
        for group in groups(written)
    ]
    assert answers == [["Accepted", "No"], ["Edited", "Yes"], ["Added", "No"]]


def test_it_belongs_to_the_ct_and_its_patient(written, ct_folder):
    images = [dcmread(path) for path in ct_folder.iterdir()]
    assert written.StudyInstanceUID == images[0].StudyInstanceUID
    assert (str(written.PatientName), written.PatientID) == ("Bäcker^Ägidius", "4711")
    (study,) = written.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence} == {
        image.SOPInstanceUID for image in images
    }


def test_it_claims_no_verification(written):
    assert (written.VerificationFlag, written.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_without_a_dicom_ct_it_refers_to_no_image(tmp_path, reviewed):
    write_structured_report(tmp_path / "needles.dcm", reviewed, new_reference())
    written = srread(tmp_path / "needles.dcm")
    assert "CurrentRequestedProcedureEvidenceSequence" not in written
    assert len(groups(written)) == 3


def test_nothing_is_written_where_nothing_is_left_to_export(tmp_path):
    with pytest.raises(InputError, match="no needles to export"):
        write_structured_report(tmp_path / "needles.dcm", [], new_reference())
    assert list(tmp_path.iterdir()) == []
