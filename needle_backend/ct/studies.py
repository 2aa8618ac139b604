"""Find the needles in all studies of a folder: what is done stays, what fails stops nothing."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from needle_backend.core.dicom import is_dicom_file
from needle_backend.core.errors import BackendError, InputError
from needle_backend.core.files import written_whole
from needle_backend.core.markups import write_markups
from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.core.runner import Runner
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.detections import write_detections

if TYPE_CHECKING:
    from needle_backend.ct.localize import InProcessLocalizer

CT_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
CASE_FILE = "ct.nii.gz"
"""A folder that holds this is a case; the case has the folder's name."""
SUMMARY_COLUMNS = (
    "study",
    "source",
    "state",
    "needles",
    "doubtful",
    "unmatched_tips",
    "unmatched_handles",
    "surplus",
    "count_estimated",
    "device",
    "weights",
    "seconds",
    "message",
)


@dataclass(frozen=True)
class Study:
    """A CT and the folder that its needles go to."""

    name: str
    source: Path
    folder: Path

    @property
    def result_path(self) -> Path:
        """Written last: where it is, the study is done."""
        return self.folder / "result.json"

    @property
    def is_done(self) -> bool:
        """Whether its needles were found already."""
        return self.result_path.exists()


def find_studies(folder: Path, output: Path) -> list[Study]:
    """Find the CTs in a folder: volume files, DICOM folders and case folders, at any depth.

    Parameters
    ----------
    output
        Where a folder for each study will be; not searched when it lies inside ``folder``.

    Raises
    ------
    InputError
        When there is no such folder, or no CT in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a folder of studies, or leave out --batch.")
    sources = list(_sources(folder, output.resolve()))
    if not sources:
        raise InputError(f"{folder} holds no CT: no volume file, DICOM folder or case folder.")
    names = [_name(source, folder) for source in sources]
    twice = {name for name in names if names.count(name) > 1}
    unique = [
        name.replace(name, source.name) if name in twice else name
        for name, source in zip(names, sources, strict=True)
    ]
    return [
        Study(name, source, output / name) for name, source in zip(unique, sources, strict=True)
    ]


def _sources(folder: Path, output: Path) -> Iterator[Path]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.is_file()]
    if folder / CASE_FILE in files:
        yield folder / CASE_FILE
        return
    volumes = [path for path in files if path.name.lower().endswith(CT_ENDINGS)]
    yield from volumes
    if any(is_dicom_file(path) for path in files if path not in volumes):
        yield folder
    for entry in entries:
        if entry.is_dir() and entry.resolve() != output:
            yield from _sources(entry, output)


def _name(source: Path, folder: Path) -> str:
    """Name a study by where it lies, without slashes and without its ending."""
    place = source.parent if source.name == CASE_FILE and source.parent != folder else source
    name = "_".join(place.relative_to(folder).parts) or folder.resolve().name
    for ending in sorted(CT_ENDINGS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def locate_studies(
    studies: Sequence[Study], options: LocateOptions, runner: Runner
) -> Iterator[tuple[Study, str | None]]:
    """Find the needles of the studies that are not done yet.

    Yields
    ------
    tuple
        A study and None, or the sentence that says why it failed; in the order they end.
    """
    waiting = [study for study in studies if not study.is_done]
    for outcome in runner(partial(locate_study, options), waiting):
        yield outcome.item, None if outcome.error is None else _sentence(outcome.error)


def locate_study(options: LocateOptions, study: Study) -> None:
    """Write needles.mrk.json, detections.json and at last result.json of one study.

    Raises
    ------
    InputError, BackendError
        When it cannot be read, searched or written.
    """
    start = time.perf_counter()
    volume = read_volume(study.source)
    read_s = time.perf_counter() - start
    found, ends = _localizer().locate_with_ends(volume, options, no_progress, CancelToken())
    result = replace(
        found,
        timings_s={**found.timings_s, "read": read_s, "total": time.perf_counter() - start},
        warnings=tuple(dict.fromkeys(volume.warnings + found.warnings)),
    )
    write_markups(study.folder / "needles.mrk.json", result.needles)
    write_detections(study.folder / "detections.json", ends)
    with written_whole(study.result_path) as temporary:
        temporary.write_text(json.dumps(result.to_dict(), indent=1), encoding="utf-8")


@cache
def _localizer() -> InProcessLocalizer:
    """Keep one a process, so that the network is loaded once."""
    from needle_backend.ct.localize import InProcessLocalizer

    return InProcessLocalizer()


def write_summary(path: Path, studies: Sequence[Study], failures: dict[str, str]) -> None:
    """Write a table with one row a study: what was found, or why nothing was.

    Parameters
    ----------
    failures
        Sentences by the names of the studies that failed.
    """
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.DictWriter(file, SUMMARY_COLUMNS, restval="")
        table.writeheader()
        for study in studies:
            row = {"study": study.name, "source": str(study.source)}
            if study.name in failures:
                row |= {"state": "failed", "message": failures[study.name]}
            else:
                row |= _found(study)
            table.writerow(row)


def _found(study: Study) -> dict[str, object]:
    try:
        data = json.loads(study.result_path.read_text(encoding="utf-8"))
        result = LocateResult.from_dict(data)
    except (OSError, ValueError, KeyError, TypeError):
        path = study.result_path
        return {"state": "failed", "message": f"{path} is damaged; delete it and run again."}
    return {
        "state": "done",
        "needles": len(result.needles),
        "doubtful": sum(bool(needle.doubts) for needle in result.needles),
        "unmatched_tips": len(result.unmatched_tips),
        "unmatched_handles": len(result.unmatched_handles),
        "surplus": len(result.surplus),
        "count_estimated": result.count.estimated,
        "device": result.device,
        "weights": result.weights,
        "seconds": f"{result.timings_s.get('total', 0.0):.2f}",
        "message": " ".join(result.warnings),
    }


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError | BackendError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this input."
    return f"Unexpected {type(error).__name__}: {error}"
