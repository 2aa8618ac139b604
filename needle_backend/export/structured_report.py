"""DICOM Comprehensive 3D SR: every needle measured, as lines of 3D points that PACS can store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from needle_backend import __version__
from needle_backend.core.files import written_whole
from needle_backend.core.quality import angle_to_axial_deg
from needle_backend.core.review_log import ReviewedNeedle, ReviewState
from needle_backend.export.dicom_reference import (
    DicomReference,
    exported,
    fill_patient_and_study,
    require_dicom,
)

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, Comprehensive3DSR, MeasurementReport
    from pydicom import Dataset

CODING_SCHEME = "99NEEDLEGUIDE"
"""Designator of the few concepts that public coding schemes do not have."""

_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def write_structured_report(
    path: Path, needles: Sequence[ReviewedNeedle], reference: DicomReference
) -> None:
    """Write a Comprehensive 3D SR; rejected needles are left out.

    Raises
    ------
    InputError
        When no needle is left, highdicom is missing or the place is not writable.
    """
    dataset = structured_report(needles, reference)
    with written_whole(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def structured_report(
    needles: Sequence[ReviewedNeedle], reference: DicomReference
) -> Comprehensive3DSR:
    """Return an imaging measurement report (DICOM PS3.16 TID 1500) of the needles nobody rejected.

    A measurement group (TID 1501) a needle: its tracking identifier is the needle's number, its
    length is inferred from a polyline of two points, tip then handle, LPS mm in the CT's frame of
    reference. The angle to the axial plane, the confidence (0..1) and the review state stand beside
    it. The report is preliminary and unverified, whatever was accepted here.

    Raises
    ------
    InputError
        When no needle is left or highdicom is missing.
    """
    require_dicom("pydicom", "highdicom")
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import Comprehensive3DSR
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    report = _content(exported(needles), reference)
    dataset = Comprehensive3DSR(
        evidence=_evidence(reference),
        content=report[0],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="NeedleGuide",
        manufacturer_model_name="NeedleLocalization",
        software_versions=__version__,
        series_description="Needles",
        is_complete=True,
        coding_schemes=[
            CodingSchemeIdentificationItem(CODING_SCHEME, responsible_organization="NeedleGuide")
        ],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    if not reference.images:
        # highdicom insists on evidence; a stand-in must not leave this program.
        del dataset.CurrentRequestedProcedureEvidenceSequence
    return dataset


def _evidence(reference: DicomReference) -> list[Dataset]:
    """Return the CT's images as far as highdicom looks at them, or one stand-in without any."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    images = [(image.sop_class, image.sop_instance) for image in reference.images]
    evidence = []
    for sop_class, sop_instance in images or [(_CT_IMAGE_STORAGE, generate_uid())]:
        image = Dataset()
        fill_patient_and_study(image, reference)
        image.SOPClassUID, image.SOPInstanceUID = sop_class, sop_instance
        image.SeriesInstanceUID = reference.series_uid
        evidence.append(image)
    return evidence


def _content(needles: Sequence[ReviewedNeedle], reference: DicomReference) -> MeasurementReport:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    software = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(),
        name="NeedleGuide",
        manufacturer_name="NeedleGuide",
        model_name=f"NeedleLocalization {__version__}, not a medical device",
    )
    return MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=software
            )
        ),
        procedure_reported=codes.SCT.ComputedTomography,
        imaging_measurements=[_group(item, reference) for item in needles],
    )


def _group(reviewed: ReviewedNeedle, reference: DicomReference):
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=generate_uid(), identifier=reviewed.needle.id or "needle"
        ),
        finding_type=codes.SCT.NeedleDevice,
        measurements=list(_measurements(reviewed, reference)),
        qualitative_evaluations=[
            QualitativeEvaluation(
                name=_own_code("REVIEW", "Review state"), value=_state_code(reviewed.log.state)
            ),
            QualitativeEvaluation(
                name=_own_code("DOUBT", "Doubtful"),
                value=codes.SCT.Yes if reviewed.needle.doubts else codes.SCT.No,
            ),
        ],
    )


def _measurements(reviewed: ReviewedNeedle, reference: DicomReference) -> Iterator:
    from highdicom.sr import CoordinatesForMeasurement3D, GraphicTypeValues3D, Measurement
    from pydicom.sr.codedict import codes

    needle = reviewed.needle
    line = CoordinatesForMeasurement3D(
        graphic_type=GraphicTypeValues3D.POLYLINE,
        graphic_data=np.array([needle.tip_lps, needle.handle_lps]),
        frame_of_reference_uid=reference.frame_of_reference_uid,
    )
    yield Measurement(
        name=codes.SCT.Length,
        value=round(needle.length_mm, 2),
        unit=codes.UCUM.Millimeter,
        referenced_coordinates=[line],
    )
    yield Measurement(
        name=_own_code("AXIAL", "Angle to the axial plane"),
        value=round(angle_to_axial_deg(needle), 2),
        unit=codes.UCUM.Degree,
    )
    if needle.confidence is not None:
        yield Measurement(
            name=_own_code("CONFIDENCE", "Probability that both ends are right"),
            value=round(needle.confidence, 4),
            unit=codes.UCUM.NoUnits,
        )


def _state_code(state: ReviewState) -> CodedConcept:
    return _own_code(state.upper(), state.capitalize())


def _own_code(value: str, meaning: str) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(value=value, scheme_designator=CODING_SCHEME, meaning=meaning)
