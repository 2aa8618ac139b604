"""DICOM RT Structure Set: one ROI a needle, as planning systems import catheters and channels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from needle_backend import __version__
from needle_backend.core.files import written_whole
from needle_backend.core.markups import needle_colour
from needle_backend.core.needles import Needle, confidence_in_words
from needle_backend.core.review_log import Origin, ReviewedNeedle
from needle_backend.export.dicom_reference import (
    DicomReference,
    exported,
    fill_patient_and_study,
    require_dicom,
)

if TYPE_CHECKING:
    from pydicom import Dataset

POINT_EVERY_MM = 5.0
"""Systems that show a contour slice by slice need points between the ends."""

_ALGORITHM = {
    Origin.software: "AUTOMATIC",
    Origin.software_and_person: "SEMIAUTOMATIC",
    Origin.person: "MANUAL",
}
_DESCRIPTION_CHARACTERS = 1024
_NAME_CHARACTERS = 64


def write_rtstruct(
    path: Path, needles: Sequence[ReviewedNeedle], reference: DicomReference
) -> None:
    """Write an RT Structure Set; rejected needles are left out.

    Raises
    ------
    InputError
        When no needle is left, pydicom is missing or the place is not writable.
    """
    dataset = structure_set(needles, reference)
    with written_whole(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def structure_set(needles: Sequence[ReviewedNeedle], reference: DicomReference) -> Dataset:
    """Return the RT Structure Set (DICOM PS3.3 A.19) of the needles nobody rejected.

    Every ROI is one open contour, LPS mm, whose first point is the tip and last the handle. The set
    is unapproved, whatever was accepted here: approving is the planning system's.

    Raises
    ------
    InputError
        When no needle is left or pydicom is missing.
    """
    require_dicom("pydicom")
    kept = exported(needles)
    dataset = _empty_instance(reference)
    dataset.StructureSetLabel = "Needles"
    dataset.StructureSetName = "Needles"
    dataset.StructureSetDescription = (
        "Straight needles, a contour from tip to hub centre each. Not from a medical device: check "
        "every needle."
    )
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.SeriesDate, dataset.SeriesTime
    dataset.ReferencedFrameOfReferenceSequence = [_frame(reference)]
    numbered = list(enumerate(kept, start=1))
    dataset.StructureSetROISequence = [_roi(n, item, reference) for n, item in numbered]
    dataset.ROIContourSequence = [_contour(n, item.needle) for n, item in numbered]
    dataset.RTROIObservationsSequence = [_observation(n, item.needle) for n, item in numbered]
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def contour_points(needle: Needle) -> np.ndarray:
    """Return points from tip to handle, at most :data:`POINT_EVERY_MM` apart, (n, 3) LPS mm."""
    count = 1 + max(1, int(np.ceil(needle.length_mm / POINT_EVERY_MM)))
    return np.linspace(needle.tip_lps, needle.handle_lps, count)


def _empty_instance(reference: DicomReference) -> Dataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    fill_patient_and_study(dataset, reference)
    now = datetime.now()
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.InstanceCreationDate = dataset.SeriesDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.SeriesTime = now.strftime("%H%M%S")
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = generate_uid()
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.SeriesDescription = "Needles"
    dataset.OperatorsName = ""
    dataset.Manufacturer = "NeedleGuide"
    dataset.ManufacturerModelName = "NeedleLocalization"
    dataset.SoftwareVersions = __version__
    dataset.FrameOfReferenceUID = reference.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    return dataset


def _frame(reference: DicomReference) -> Dataset:
    """Return the frame of reference, with the CT's images where there are any."""
    from pydicom import Dataset

    frame = Dataset()
    frame.FrameOfReferenceUID = reference.frame_of_reference_uid
    if reference.images:
        series = Dataset()
        series.SeriesInstanceUID = reference.series_uid
        series.ContourImageSequence = []
        for image in reference.images:
            item = Dataset()
            item.ReferencedSOPClassUID = image.sop_class
            item.ReferencedSOPInstanceUID = image.sop_instance
            series.ContourImageSequence.append(item)
        study = Dataset()
        # The retired class for studies is what this attribute still holds (PS3.3 C.8.8.5).
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = reference.study_uid
        study.RTReferencedSeriesSequence = [series]
        frame.RTReferencedStudySequence = [study]
    return frame


def _roi(number: int, reviewed: ReviewedNeedle, reference: DicomReference) -> Dataset:
    from pydicom import Dataset

    roi = Dataset()
    roi.ROINumber = number
    roi.ReferencedFrameOfReferenceUID = reference.frame_of_reference_uid
    roi.ROIName = _name(number, reviewed.needle)
    roi.ROIDescription = _description(reviewed)[:_DESCRIPTION_CHARACTERS]
    roi.ROIGenerationAlgorithm = _ALGORITHM[reviewed.log.origin]
    return roi


def _name(number: int, needle: Needle) -> str:
    # A backslash would part the name in two.
    return (needle.id or f"needle {number}").replace("\\", "/")[:_NAME_CHARACTERS]


def _description(reviewed: ReviewedNeedle) -> str:
    needle = reviewed.needle
    parts = [f"{reviewed.log.state}, {needle.length_mm:.1f} mm from tip to hub centre"]
    if needle.confidence is not None:
        parts.append(f"confidence {confidence_in_words(needle.confidence)}")
    if needle.doubts:
        parts.append(f"doubts: {', '.join(needle.doubts)}")
    return "; ".join(parts)


def _contour(number: int, needle: Needle) -> Dataset:
    from pydicom import Dataset

    points = contour_points(needle)
    contour = Dataset()
    contour.ContourGeometricType = "OPEN_NONPLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
    roi = Dataset()
    roi.ROIDisplayColor = [round(255 * value) for value in needle_colour(number - 1)]
    roi.ReferencedROINumber = number
    roi.ContourSequence = [contour]
    return roi


def _observation(number: int, needle: Needle) -> Dataset:
    from pydicom import Dataset

    observation = Dataset()
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    observation.ROIObservationLabel = _name(number, needle)[:16]
    observation.RTROIInterpretedType = "BRACHY_CHANNEL"
    observation.ROIInterpreter = ""
    return observation
