import numpy as np
import pytest
from core.dicom_writer import axial_positions, write_series
from pydicom import dcmread
from pydicom.uid import generate_uid

from needle_backend.core.needles import Needle
from needle_backend.core.review_log import SOFTWARE, ReviewedNeedle, ReviewLog, ReviewState

SLICES_MM = [5.0 * i for i in range(8)]


def log(*states):
    """A needle's history: found by the software, then what a person did."""
    made = ReviewLog().with_entry(ReviewState.found, SOFTWARE)
    for state in states:
        made = made.with_entry(state, "müller")
    return made


REVIEWED = (
    ReviewedNeedle(
        Needle((-9.0, 5.0, 12.0), (-30.0, 180.0, 20.0), 4.2, 0.97, (), "N01"),
        log(ReviewState.accepted),
    ),
    ReviewedNeedle(
        Needle((11.123456, 6.0, 13.0), (12.0, 190.0, 22.0), 1.3, 0.41, ("its shaft fades",), "N02"),
        log(ReviewState.edited),
    ),
    ReviewedNeedle(
        Needle((0.0, 8.0, 13.0), (0.0, 150.0, 22.0), id="N03"), log(ReviewState.rejected)
    ),
    ReviewedNeedle(
        Needle((20.0, 7.0, 13.0), (22.0, 192.0, 22.0), id="N04"),
        ReviewLog().with_entry(ReviewState.added, "müller"),
    ),
)


@pytest.fixture
def reviewed():
    return REVIEWED


@pytest.fixture
def ct_folder(tmp_path):
    """A CT series with a patient, a study and a frame of reference, as a scanner writes it."""
    folder = tmp_path / "ct"
    write_series(folder, np.zeros((8, 10, 12), np.int16), axial_positions(SLICES_MM))
    frame = generate_uid()
    for path in folder.iterdir():
        image = dcmread(path)
        image.FrameOfReferenceUID = frame
        image.PatientName, image.PatientID = "Bäcker^Ägidius", "4711"
        image.PatientBirthDate, image.PatientSex = "19500228", "M"
        image.StudyDate, image.StudyTime, image.StudyID = "20260301", "140500", "S1"
        image.save_as(path)
    return folder
