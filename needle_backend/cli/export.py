"""`needles export`: a report, files for planning systems and PACS, a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from needle_backend.cli.outputs import check_outputs
from needle_backend.cli.terminal import warn
from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateResult, Needle, NeedleCount
from needle_backend.core.review_log import ReviewedNeedle

if TYPE_CHECKING:
    from needle_backend.core.volume import Volume
    from needle_backend.export.dicom_reference import DicomReference
    from needle_backend.export.report import Report

_OUTSIDE_MM = 10.0


def export(
    markups: Annotated[
        Path, typer.Argument(metavar="MARKUPS", help="Needles as line markups (.mrk.json).")
    ],
    ct: Annotated[
        Path | None, typer.Option(help="Their CT: an image file, or a folder of DICOM images.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which series of a DICOM folder: its number or UID.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Planned lines (.mrk.json) to hold the needles against.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of needles in the patient.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write one page to print (.html).")] = None,
    rtstruct: Annotated[
        Path | None, typer.Option(help="Write a DICOM RT Structure Set (.dcm).")
    ] = None,
    sr: Annotated[
        Path | None, typer.Option(help="Write a DICOM Comprehensive 3D SR (.dcm).")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write a table with states and history (.csv).")
    ] = None,
) -> None:
    """Write needles as a report, as DICOM for other systems, or as a table."""
    wanted = ((report, ".html"), (rtstruct, ".dcm"), (sr, ".dcm"), (csv, ".csv"))
    if not any(path for path, _ in wanted):
        raise InputError("Nothing to write; give --report, --rtstruct, --sr or --csv.")
    check_outputs([path for path in (markups, ct, plan) if path is not None], wanted)
    needles, planned = _read_needles(markups, plan)
    volume = _read_ct(ct, series)
    reference = _read_reference(ct, series, rtstruct, sr)
    if rtstruct is not None or sr is not None:
        _write_dicom(needles, reference, rtstruct, sr)
        warn(reference.warnings)
    if report is not None:
        from needle_backend.export.report import write_report

        write_report(report, _report(needles, planned, count, volume, reference, markups))
    if csv is not None:
        from needle_backend.core.tables import write_review_csv

        write_review_csv(csv, needles)
    warn(_remarks(needles, volume, report))
    for path, _ in wanted:
        if path is not None:
            typer.echo(f"Written: {path}")


def _read_needles(
    markups: Path, plan: Path | None
) -> tuple[tuple[ReviewedNeedle, ...], tuple[Needle, ...]]:
    from needle_backend.core.markups import read_markups, read_reviewed_markups

    needles = read_reviewed_markups(markups)
    return needles, () if plan is None else read_markups(plan)


def _read_ct(ct: Path | None, series: str | None) -> Volume | None:
    from needle_backend.core.volume_io import read_volume

    return None if ct is None else read_volume(ct, series)


def _read_reference(
    ct: Path | None, series: str | None, rtstruct: Path | None, sr: Path | None
) -> DicomReference | None:
    """Read whose CT it is, where a DICOM file must say so or a report can."""
    from needle_backend.export.dicom_reference import read_reference, require_dicom

    if sr is not None:
        require_dicom("pydicom", "highdicom")
    needed = rtstruct is not None or sr is not None
    possible = ct is not None and ct.is_dir() and find_spec("pydicom") is not None
    return read_reference(ct, series) if needed or possible else None


def _write_dicom(
    needles: Sequence[ReviewedNeedle],
    reference: DicomReference,
    rtstruct: Path | None,
    sr: Path | None,
) -> None:
    if rtstruct is not None:
        from needle_backend.export.rtstruct import write_rtstruct

        write_rtstruct(rtstruct, needles, reference)
    if sr is not None:
        from needle_backend.export.structured_report import write_structured_report

        write_structured_report(sr, needles, reference)


def _report(
    needles: tuple[ReviewedNeedle, ...],
    planned: Sequence[Needle],
    count: int | None,
    volume: Volume | None,
    reference: DicomReference | None,
    markups: Path,
) -> Report:
    from needle_backend.core.quality import QualityLimits, check_quality
    from needle_backend.export.report import Picture, Report

    pictures = ()
    if volume is not None:
        from needle_backend.ct.picture import overview_png

        kept = tuple(item.needle for item in needles if not item.is_rejected)
        found = LocateResult(kept, NeedleCount(len(kept), estimated=False))
        pictures = (Picture(overview_png(volume, found), "Maximum projections and axial slices"),)
    return Report(
        source=markups.name if volume is None else Path(volume.source).name,
        needles=needles,
        quality=check_quality(needles, QualityLimits(count=count), planned),
        pictures=pictures,
        facts=tuple(_facts(volume, reference)),
    )


def _facts(volume: Volume | None, reference: DicomReference | None) -> Iterator[tuple[str, str]]:
    known = {} if reference is None else reference.patient_and_study
    name = ", ".join(part for part in known.get("PatientName", "").split("^") if part)
    patient = " ".join(part for part in (name, known.get("PatientID", "")) if part)
    if patient:
        yield "Patient", patient
    if "StudyDate" in known:
        day = known["StudyDate"]
        yield "Study", f"{day[:4]}-{day[4:6]}-{day[6:8]}"
    if volume is not None:
        voxels = " x ".join(str(n) for n in reversed(volume.array.shape))
        sizes = " x ".join(f"{mm:.3g}" for mm in volume.spacing_mm)
        yield "CT", f"{voxels} voxels of {sizes} mm"


def _remarks(
    needles: Sequence[ReviewedNeedle], volume: Volume | None, report: Path | None
) -> Iterator[str]:
    """Say what the one who exports should know about what was read."""
    if volume is None:
        if report is not None:
            yield "No CT was given, so the report shows no pictures."
        return
    yield from volume.warnings
    outside = [item.needle.id for item in needles if _is_outside(item.needle, volume)]
    if outside:
        yield (
            f"Of {', '.join(outside)} some lies outside the CT; make sure that needles and CT "
            "belong together."
        )


def _is_outside(needle: Needle, volume: Volume) -> bool:
    ijk = volume.lps_to_ijk(np.array([needle.tip_lps, needle.handle_lps]))
    beyond = np.maximum(-ijk, ijk - (np.array(volume.array.shape[::-1]) - 1))
    return bool((beyond * volume.spacing_mm > _OUTSIDE_MM).any())
