"""Read annotated CTs as people have them: label maps, Slicer's line markups, truth.json.

A folder to import holds a folder a case, or a folder a patient with a folder a case in it::

    case_or_patient/ct.nii.gz       the CT: ct.nii.gz, ct.nrrd, ct.mha..., or a folder ct of DICOM
                    truth.json      its needles, as one of: truth.json,
                    *.mrk.json      line markups (one file for all, or one for each),
                    labels.nii.gz   a label map on the CT's grid, as ITK-SNAP saves it

In a label map, needle n has the label 2n - 1 where its tip shows and 2n where its handle shows,
painted on every slice that shows it: 1 and 2 are the first needle's tip and handle, 3 and 4 the
second's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import Needle, as_point
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.training.annotated_labels import label_from_geometry, slice_end
from needle_backend.ct.training.labels import SliceEnd

MARK_MM = 40.0
"""One end's marks lie this near to each other, even where a whole hub is painted."""


@dataclass(frozen=True)
class CaseSource:
    """Where one case comes from; ``name`` is its folder's path inside the imported folder."""

    name: str
    patient: str
    ct: Path
    annotation: tuple[Path, ...]


@dataclass(frozen=True)
class AnnotatedCase:
    """One case with its needles in LPS mm, and its per-slice labels."""

    source: CaseSource
    volume: Volume
    needles: tuple[Needle, ...]
    slice_ends: tuple[SliceEnd, ...]


def find_sources(folder: Path) -> list[CaseSource]:
    """List the cases of a folder, in the order of their names.

    Raises
    ------
    InputError
        When the folder holds no CT.
    """
    found = [*folder.glob("*/ct*"), *folder.glob("*/*/ct*")]
    # Images within a DICOM folder ct are no cases of their own.
    cts = {path.parent: path for path in sorted(found) if _is_ct(path) and path.parent.name != "ct"}
    if not cts:
        raise InputError(
            f"{folder} holds no cases; expected case/ct.nii.gz or patient/case/ct.nii.gz, with "
            "truth.json, *.mrk.json or labels.nii.gz beside it."
        )
    return [_source(place, ct, folder) for place, ct in sorted(cts.items())]


def _is_ct(path: Path) -> bool:
    return path.name == "ct" if path.is_dir() else path.name.startswith("ct.")


def _source(place: Path, ct: Path, folder: Path) -> CaseSource:
    parts = place.relative_to(folder).parts
    for pattern in ("truth.json", "*.mrk.json", "labels.*"):
        annotation = tuple(sorted(place.glob(pattern)))
        if annotation:
            break
    return CaseSource("/".join(parts), parts[0], ct, annotation)


def read_source(source: CaseSource) -> AnnotatedCase:
    """Read one case.

    Raises
    ------
    InputError
        When its CT or its annotation cannot be read, or says something contradictory.
    """
    volume = read_volume(source.ct)
    if not source.annotation:
        raise InputError(
            f"{source.ct.parent} has no annotation; put a truth.json, .mrk.json files or a "
            "labels.nii.gz beside the CT."
        )
    first = source.annotation[0]
    if first.name.startswith("labels."):
        needles, slice_ends = needles_of_label_map(read_label_map(first, volume), volume)
        return AnnotatedCase(source, volume, needles, tuple(slice_ends))
    needles = _read_ends(source.annotation)
    labels = [
        label
        for index, needle in enumerate(needles)
        if needle.length_mm > 0
        for label in label_from_geometry(needle, index, volume)
    ]
    return AnnotatedCase(source, volume, needles, tuple(labels))


def _read_ends(annotation: Sequence[Path]) -> tuple[Needle, ...]:
    if annotation[0].name == "truth.json":
        return read_truth(annotation[0])
    return tuple(needle for path in annotation for needle in read_markups(path))


def read_label_map(path: Path, volume: Volume) -> np.ndarray:
    """Read a label map and turn it as its CT was turned.

    Returns
    -------
    numpy.ndarray
        Labels [slice, row, column], int.

    Raises
    ------
    InputError
        When it is unreadable or does not lie on the CT's grid.
    """
    import SimpleITK as sitk

    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as an image; save the label map again.") from error
    labels = sitk.GetArrayFromImage(image)
    same_grid = (
        labels.shape == volume.array.shape
        and np.allclose(image.GetSpacing(), volume.spacing_mm, atol=0.01)
        and np.allclose(image.GetOrigin(), volume.origin_lps, atol=0.5)
    )
    if not same_grid:
        raise InputError(
            f"{path} does not lie on the grid of its CT; segment {volume.source} itself."
        )
    return labels.astype(int)


def needles_of_label_map(
    labels: np.ndarray, volume: Volume
) -> tuple[tuple[Needle, ...], list[SliceEnd]]:
    """Turn painted marks into needles; see this module's head for what the labels mean.

    An end lies in the middle of its marks, over the slices that show it; the per-slice labels are
    the marks themselves.

    Raises
    ------
    InputError
        When a needle has only one end, or one label marks places far apart.
    """
    values = set(np.unique(labels).tolist()) - {0}
    needles, slice_ends = [], []
    for number in sorted({(value + 1) // 2 for value in values}):
        marks = {}
        for kind, value in (("tip", 2 * number - 1), ("handle", 2 * number)):
            if value not in values:
                raise InputError(
                    f"The label map of {volume.source} has no {kind} (label {value}) for needle "
                    f"{number}; tips have labels 1, 3, 5... and handles 2, 4, 6..."
                )
            marks[kind] = _marks(labels == value, value, volume)
        ends = {kind: _middle(points) for kind, points in marks.items()}
        towards_handle = ends["handle"] - ends["tip"]
        for kind, towards in (("tip", towards_handle), ("handle", -towards_handle)):
            slice_ends += [
                slice_end(kind, len(needles), k, point, towards, volume)
                for k, point in marks[kind].items()
            ]
        needles.append(Needle(as_point(ends["tip"]), as_point(ends["handle"])))
    return tuple(needles), slice_ends


def _marks(mask: np.ndarray, value: int, volume: Volume) -> dict[int, np.ndarray]:
    """Return the middle of a label on each slice that has it, LPS mm."""
    kji = np.argwhere(mask)
    points = volume.ijk_to_lps(kji[:, ::-1])
    if np.linalg.norm(np.ptp(points, axis=0)) > MARK_MM:
        raise InputError(
            f"The label map of {volume.source} has label {value} in places more than "
            f"{MARK_MM:g} mm apart; give every needle its own labels 2n - 1 and 2n."
        )
    return {int(k): points[kji[:, 0] == k].mean(axis=0) for k in np.unique(kji[:, 0])}


def _middle(marks: dict[int, np.ndarray]) -> np.ndarray:
    return np.mean(list(marks.values()), axis=0)
