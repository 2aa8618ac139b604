"""Turn annotated CTs into a data set: checked case folders, and folds of patients."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.truth import write_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import write_volume
from needle_backend.ct.training.checks import Finding, LengthLimits, check_case
from needle_backend.ct.training.imports import (
    AnnotatedCase,
    CaseSource,
    find_sources,
    read_source,
)


@dataclass(frozen=True)
class ImportedCase:
    """What became of one case.

    Attributes
    ----------
    source
        Where it came from.
    folder
        Its case folder; None when it was left out.
    needles
        How many needles it has.
    findings
        What is wrong with it.
    """

    source: CaseSource
    folder: Path | None
    needles: int
    findings: tuple[Finding, ...]


def import_cases(annotated: Path, output: Path, limits: LengthLimits) -> Iterator[ImportedCase]:
    """Check annotated cases and write the sound ones; yield what became of each.

    Cases become ``case_000``, ``case_001``... in the order of their names; a case that is left out
    keeps its number, so that mending it changes no other. A folder that is already there is
    replaced.

    Parameters
    ----------
    annotated
        As :mod:`needle_backend.ct.training.imports` describes it.
    output
        Folder of cases to write.

    Raises
    ------
    InputError
        When there is nothing to import, or the output folder cannot be made.
    """
    sources = find_sources(annotated)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output} cannot be made ({error.strerror}).") from error
    for number, source in enumerate(sources):
        folder = output / f"case_{number:03d}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            case = read_source(source)
        except InputError as error:
            sentence = str(error).rstrip(".")
            yield ImportedCase(source, None, 0, (Finding(sentence, grave=True),))
            continue
        findings = check_case(case.volume, case.needles, limits)
        if any(finding.grave for finding in findings):
            yield ImportedCase(source, None, len(case.needles), findings)
            continue
        _write(case, folder)
        yield ImportedCase(source, folder, len(case.needles), findings)


def _write(case: AnnotatedCase, folder: Path) -> None:
    """Write a case folder, which appears whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    hu = np.clip(np.rint(case.volume.array), -32768, 32767).astype(np.int16)
    volume = Volume(hu, case.volume.spacing_mm, case.volume.origin_lps)
    write_volume(unfinished / "ct.nii.gz", volume)
    facts = {
        "annotated": {
            "case": case.source.name,
            "patient": case.source.patient,
            "from": [path.name for path in case.source.annotation],
        },
        "slice_ends": [asdict(end) for end in case.slice_ends],
    }
    write_truth(unfinished / "truth.json", case.needles, facts)
    unfinished.rename(folder)
