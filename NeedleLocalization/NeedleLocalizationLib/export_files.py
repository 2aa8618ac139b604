"""A volume's reviewed needles as files: markups, a table, a report, DICOM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.comparison import Comparison
from needle_backend.core.errors import InputError
from needle_backend.core.markups import write_markups
from needle_backend.core.needles import LocateResult, NeedleCount
from needle_backend.core.quality import QualityLimits, check_quality
from needle_backend.core.review_log import ReviewedNeedle
from needle_backend.core.tables import write_review_csv
from needle_backend.export.dicom_reference import (
    DicomReference,
    new_reference,
    reference_of_images,
)
from needle_backend.export.report import Picture, Report, write_report
from NeedleLocalizationLib.comparing import compare, others_in_world
from NeedleLocalizationLib.dicom_place import check_place, in_volume_frame
from NeedleLocalizationLib.installation import require_dicom_packages
from NeedleLocalizationLib.needle_nodes import needle_from_node, needle_nodes_of, read_record
from NeedleLocalizationLib.volume_input import VolumeInput

INSTANCES_ATTRIBUTE = "DICOM.instanceUIDs"
"""Where Slicer keeps which images a volume was loaded from."""


@dataclass(frozen=True)
class Export:
    """What is written, and what its reader should know about it."""

    volume_node: vtkMRMLScalarVolumeNode
    needles: tuple[ReviewedNeedle, ...]
    limits: QualityLimits
    comparison: Comparison


@dataclass(frozen=True)
class Format:
    """A kind of file; ``write`` returns warnings."""

    title: str
    suffix: str
    write: Callable[[Path, Export], tuple[str, ...]]


def export_needles(
    path: Path, format_: Format, volume_node: vtkMRMLScalarVolumeNode, limits: QualityLimits
) -> tuple[str, ...]:
    """Write a volume's needles; return warnings.

    They lie where they are seen in the scene now; in DICOM files where the volume's images lie.

    Raises
    ------
    InputError
        When there is nothing to write, a package is missing or the place is not writable.
    """
    needles = tuple(
        ReviewedNeedle(needle_from_node(node), read_record(node).log)
        for node in needle_nodes_of(volume_node)
    )
    if not needles:
        raise InputError(f"{volume_node.GetName()} has no needles to export.")
    comparison, complaints = compare(needles, others_in_world(volume_node))
    warnings = format_.write(path, Export(volume_node, needles, limits, comparison))
    return (*warnings, *complaints)


def _write_markups(path: Path, export: Export) -> tuple[str, ...]:
    reviewed = export.needles
    write_markups(path, [item.needle for item in reviewed], [item.log for item in reviewed])
    return ()


def _write_table(path: Path, export: Export) -> tuple[str, ...]:
    write_review_csv(path, export.needles, export.comparison)
    return ()


def _write_report(path: Path, export: Export) -> tuple[str, ...]:
    nodes = needle_nodes_of(export.volume_node)
    pictures = tuple(_pictures(export))
    report = Report(
        source=export.volume_node.GetName(),
        needles=export.needles,
        quality=check_quality(export.needles, export.limits, export.comparison.others.plan),
        pictures=pictures,
        changes=export.comparison.sentences(),
        colours={node.GetName(): read_record(node).colour for node in nodes},
    )
    write_report(path, report)
    return () if pictures else (_("The report has no pictures, as OpenCV is not installed."),)


def _pictures(export: Export) -> Iterator[Picture]:
    try:
        from needle_backend.ct.picture import overview_png
    except ImportError:
        return
    kept = tuple(item.needle for item in export.needles if not item.is_rejected)
    result = LocateResult(kept, NeedleCount(len(kept), estimated=False))
    volume = VolumeInput.from_node(export.volume_node).to_volume()
    yield Picture(overview_png(volume, result), _("Maximum projections and axial slices"))


def _write_rtstruct(path: Path, export: Export) -> tuple[str, ...]:
    require_dicom_packages("pydicom")
    from needle_backend.export.rtstruct import write_rtstruct

    reference = reference_of(export.volume_node)
    write_rtstruct(path, in_volume_frame(export.needles, export.volume_node), reference)
    return reference.warnings


def _write_structured_report(path: Path, export: Export) -> tuple[str, ...]:
    require_dicom_packages("pydicom", "highdicom")
    from needle_backend.export.structured_report import write_structured_report

    reference = reference_of(export.volume_node)
    write_structured_report(path, in_volume_frame(export.needles, export.volume_node), reference)
    return reference.warnings


def reference_of(volume_node: vtkMRMLScalarVolumeNode) -> DicomReference:
    """Return the study, series and images that a volume was loaded from; new ones if from none.

    Raises
    ------
    InputError
        When the volume was moved since.
    """
    database = getattr(slicer, "dicomDatabase", None)
    uids = (volume_node.GetAttribute(INSTANCES_ATTRIBUTE) or "").split()
    files = [database.fileForInstance(uid) for uid in uids] if database is not None else []
    known = [Path(file) for file in files if file]
    if not known:
        return new_reference()
    reference = reference_of_images(known)
    check_place(volume_node, reference)
    return reference


FORMATS = (
    Format(_("Markups (.mrk.json)"), ".mrk.json", _write_markups),
    Format(_("Table (.csv)"), ".csv", _write_table),
    Format(_("Report (.html)"), ".html", _write_report),
    Format(_("DICOM RT structure set (.dcm)"), ".dcm", _write_rtstruct),
    Format(_("DICOM structured report (.dcm)"), ".dcm", _write_structured_report),
)
