"""Whose CT the needles were found in: what DICOM exports must repeat of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from needle_backend.core.dicom import find_series
from needle_backend.core.errors import InputError
from needle_backend.core.needles import Point, as_point
from needle_backend.core.review_log import ReviewedNeedle

if TYPE_CHECKING:
    from pydicom import Dataset

PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes that an export copies from the CT, by their DICOM keywords."""

_SEXES = ("M", "F", "O")
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True)
class ImageUids:
    """One image of the CT; its first pixel's centre, where the image tells it, in LPS mm."""

    sop_class: str
    sop_instance: str
    position_lps: Point | None = None


@dataclass(frozen=True)
class DicomReference:
    """The study, series and frame that needles belong to.

    Attributes
    ----------
    images
        All images of the series; none when the CT did not come from DICOM.
    patient_and_study
        Values by the keywords of :data:`PATIENT_AND_STUDY`; those that the CT lacks are missing.
    warnings
        Sentences about what other systems will not be able to match.
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    images: tuple[ImageUids, ...] = ()
    patient_and_study: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def require_dicom(*packages: str) -> None:
    """Make sure that what writes DICOM is installed.

    Raises
    ------
    InputError
        When a package is missing.
    """
    for package in packages:
        if find_spec(package) is None:
            raise InputError(
                f"Writing this DICOM file needs the Python package {package}; install it with "
                'pip install "needle-backend[dicom]".'
            )


def read_reference(path: Path | None, series: str | None = None) -> DicomReference:
    """Read what exports need from the folder that the CT was read from.

    Parameters
    ----------
    path
        A DICOM folder, read with the same ``series`` as the volume was. For anything else (an
        image file, or None) the reference is new, and says so in its warnings.

    Raises
    ------
    InputError
        When the folder holds no CT series or several, or pydicom is missing.
    """
    require_dicom("pydicom")
    if path is None or not path.is_dir():
        return new_reference()
    return reference_of_images([image.path for image in find_series(path, series)])


def reference_of_images(paths: Sequence[Path]) -> DicomReference:
    """Read the reference from the files of one series, as a DICOM database lists them.

    Raises
    ------
    InputError
        When a file is unreadable, lacks its UIDs, or they are of several series; when pydicom is
        missing.
    """
    require_dicom("pydicom")
    headers = [_read_header(path) for path in paths]
    if len({header.SeriesInstanceUID for header in headers}) != 1:
        raise InputError(f"{paths[0].parent} is not one DICOM series; give the images of one CT.")
    first = headers[0]
    frame = str(first.get("FrameOfReferenceUID", ""))
    warnings: tuple[str, ...] = ()
    if not frame:
        frame = new_reference().frame_of_reference_uid
        warnings = (
            f"{paths[0].parent} names no frame of reference, so a new one is used; other systems "
            "may ask whether needles and CT belong together.",
        )
    values = {name: _usable(name, str(first.get(name) or "")) for name in PATIENT_AND_STUDY}
    return DicomReference(
        study_uid=str(first.StudyInstanceUID),
        series_uid=str(first.SeriesInstanceUID),
        frame_of_reference_uid=frame,
        images=tuple(
            ImageUids(str(h.SOPClassUID), str(h.SOPInstanceUID), _position(h)) for h in headers
        ),
        patient_and_study={name: value for name, value in values.items() if value},
        warnings=warnings,
    )


def new_reference() -> DicomReference:
    """Return new UIDs for a CT that did not come from DICOM."""
    from pydicom.uid import generate_uid

    study, series, frame = (str(generate_uid()) for _ in range(3))
    warning = (
        "The CT did not come from DICOM, so the DICOM export names no patient and no CT; other "
        "systems will not match it to one by themselves."
    )
    return DicomReference(study, series, frame, warnings=(warning,))


def fill_patient_and_study(dataset: Dataset, reference: DicomReference) -> None:
    """Write the patient and study into a dataset; what DICOM demands but is unknown stays empty."""
    dataset.SpecificCharacterSet = "ISO_IR 192"  # UTF-8, whatever the CT was written in
    dataset.StudyInstanceUID = reference.study_uid
    for name in PATIENT_AND_STUDY:
        setattr(dataset, name, reference.patient_and_study.get(name, ""))


def exported(needles: Sequence[ReviewedNeedle]) -> list[ReviewedNeedle]:
    """Return the needles that nobody rejected: only these may reach a planning system.

    Raises
    ------
    InputError
        When there are none.
    """
    kept = [reviewed for reviewed in needles if not reviewed.is_rejected]
    if not kept:
        raise InputError("There are no needles to export; all were rejected or none was found.")
    return kept


def _usable(name: str, value: str) -> str:
    """Return a value as it is, or nothing where DICOM does not allow it: readers refuse those."""
    from pydicom.valuerep import DA, TM

    if name == "PatientSex":
        return value if value in _SEXES else ""
    try:
        {"Date": DA, "Time": TM}.get(name[-4:], str)(value)
    except ValueError:
        return ""
    return value


def _position(header: Dataset) -> Point | None:
    values = header.get("ImagePositionPatient")
    return as_point(values) if values is not None and len(values) == 3 else None


def _read_header(path: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    others = ("FrameOfReferenceUID", "ImagePositionPatient", "SpecificCharacterSet")
    wanted = [*_UIDS, *others, *PATIENT_AND_STUDY]
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=wanted)
    except (OSError, InvalidDicomError) as error:
        raise InputError(f"{path} cannot be read as DICOM; export the CT again.") from error
    lacking = [name for name in _UIDS if not header.get(name)]
    if lacking:
        raise InputError(f"{path} lacks its {lacking[0]}; export the CT again.")
    return header
