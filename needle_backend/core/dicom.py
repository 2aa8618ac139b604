"""Read one CT series from a folder of DICOM images, never stretching what lies unevenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.orientation import volume_from_array
from needle_backend.core.volume import Volume

WIDEST_GAP = 1.5
"""A gap wider than this many median gaps means that images are missing there."""

_SAME_PLACE_MM = 0.01
_EVEN_WITHIN_MM = 0.1
_IN_LINE_WITHIN_MM = 0.5


@dataclass(frozen=True)
class DicomImage:
    """What one DICOM file says about itself, before its pixels are read.

    Attributes
    ----------
    position_lps
        ImagePositionPatient, (3,) mm.
    row_axis, column_axis
        ImageOrientationPatient: directions of growing column and row index, (3,) each.
    pixel_mm
        Distance of neighbouring columns and of neighbouring rows.
    size
        Columns and rows.
    """

    path: Path
    series_uid: str
    series_number: str
    description: str
    modality: str
    position_lps: np.ndarray
    row_axis: np.ndarray
    column_axis: np.ndarray
    pixel_mm: tuple[float, float]
    size: tuple[int, int]

    @property
    def along_axis_mm(self) -> float:
        """Where the image lies on the axis perpendicular to it (z for axial images)."""
        return float(self.position_lps @ np.cross(self.row_axis, self.column_axis))


def is_dicom_file(path: Path) -> bool:
    """Tell by its first bytes whether a file is DICOM."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_series(folder: Path, series: str | None) -> Volume:
    """Read a CT series from a folder and the folders in it.

    Parameters
    ----------
    folder
        Holds DICOM files; scout images and objects without pixels are passed over.
    series
        SeriesNumber or SeriesInstanceUID; None when there is only one CT series.

    Raises
    ------
    InputError
        When there is no CT series or several to choose from, or the series is no single stack of
        parallel images: images missing, doubled, shifted or of several sizes.
    """
    images, passed_over = _find_series(folder, series)
    source = f"{folder} (series {images[0].series_number})"
    _check_stack(images, source)
    positions_mm = np.array([image.along_axis_mm for image in images])
    array = np.stack([_read_pixels(image) for image in images])
    array, step_mm, warnings = _evenly_spaced(array, positions_mm, source)
    first, last = images[0], images[-1]
    matrix = np.eye(4)
    matrix[:3, 0] = first.row_axis * first.pixel_mm[0]
    matrix[:3, 1] = first.column_axis * first.pixel_mm[1]
    # From image to image, not along their normal: under a tilted gantry the two differ.
    run = (last.position_lps - first.position_lps) / (positions_mm[-1] - positions_mm[0])
    matrix[:3, 2] = run * step_mm
    matrix[:3, 3] = first.position_lps
    volume = volume_from_array(array, matrix, source)
    if passed_over:
        warnings += (
            f"{folder}: passed over what holds no readable image ({', '.join(passed_over)}).",
        )
    return replace(volume, warnings=warnings + volume.warnings)


def find_series(folder: Path, series: str | None = None) -> list[DicomImage]:
    """Return the images of the CT series that :func:`read_series` would read, in their order.

    Raises
    ------
    InputError
        When there is no CT series or several to choose from.
    """
    return _find_series(folder, series)[0]


def _find_series(folder: Path, series: str | None) -> tuple[list[DicomImage], list[str]]:
    images, passed_over = _find_images(folder)
    chosen = _choose_series(images, series, folder)
    return sorted(chosen, key=lambda image: image.along_axis_mm), passed_over


def _find_images(folder: Path) -> tuple[list[DicomImage], list[str]]:
    """Read all headers below a folder; return the images, and the names of files that are none."""
    images, passed_over = [], []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not is_dicom_file(path):
            continue
        tags = _read_tags(path)
        if tags is None:
            passed_over.append(path.name)
        elif "LOCALIZER" not in tags.get("0008|0008", ""):
            images.append(_as_image(path, tags))
    if not images:
        raise InputError(f"{folder} holds no DICOM images; give a DICOM folder or an image file.")
    return images, passed_over


def _read_tags(path: Path) -> dict[str, str] | None:
    """Return the header's plain values by "group|element"; None when the file holds no image."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return {key: _plain_text(reader.GetMetaData(key)) for key in reader.GetMetaDataKeys()}


def _plain_text(value: str) -> str:
    """Strip DICOM's padding; bytes that are not UTF-8 arrive as surrogates and are Latin-1."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.strip(" \0")


def _as_image(path: Path, tags: dict[str, str]) -> DicomImage:
    if int(tags.get("0028|0008", "1") or 1) > 1:
        raise InputError(
            f"{path} holds several images in one file (enhanced DICOM); export the series as "
            "single images or as NIfTI."
        )
    try:
        position = np.array(tags["0020|0032"].split("\\"), float)
        orientation = np.array(tags["0020|0037"].split("\\"), float).reshape(2, 3)
        row_mm, column_mm = (float(value) for value in tags["0028|0030"].split("\\"))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path} does not say where it lies in the patient; leave it out or export it again."
        ) from error
    return DicomImage(
        path=path,
        series_uid=tags.get("0020|000e", ""),
        series_number=tags.get("0020|0011", ""),
        description=tags.get("0008|103e", ""),
        modality=tags.get("0008|0060", ""),
        position_lps=position,
        row_axis=orientation[0],
        column_axis=orientation[1],
        # PixelSpacing gives the distance of rows first.
        pixel_mm=(column_mm, row_mm),
        size=(int(tags["0028|0011"]), int(tags["0028|0010"])),
    )


def _choose_series(
    images: Sequence[DicomImage], wanted: str | None, folder: Path
) -> list[DicomImage]:
    groups: dict[str, list[DicomImage]] = {}
    for image in images:
        if image.modality == "CT":
            groups.setdefault(image.series_uid, []).append(image)
    if not groups:
        found = ", ".join(sorted({image.modality or "unknown" for image in images}))
        raise InputError(f"{folder} holds no CT images, only {found}; a CT is needed.")
    chosen = [
        group
        for uid, group in groups.items()
        if wanted is None or wanted in (uid, group[0].series_number)
    ]
    if len(chosen) == 1:
        return chosen[0]
    listing = "; ".join(
        f'{group[0].series_number} "{group[0].description}", {len(group)} images, {uid}'
        for uid, group in sorted(groups.items(), key=lambda item: item[1][0].series_number)
    )
    if wanted is None:
        raise InputError(
            f"{folder} holds {len(groups)} CT series; choose one with --series and its number or "
            f"UID: {listing}."
        )
    reason = "no" if not chosen else "more than one"
    raise InputError(f"{folder} holds {reason} CT series {wanted}; there are: {listing}.")


def _check_stack(images: Sequence[DicomImage], source: str) -> None:
    """Refuse what is no single stack of parallel images, naming the files where it breaks."""
    first = images[0]
    if len(images) < 2:
        raise InputError(f"{source} has a single image; a CT of several slices is needed.")
    for image in images:
        if not (
            image.size == first.size
            and np.allclose(image.pixel_mm, first.pixel_mm, rtol=1e-3)
            and np.allclose(image.row_axis, first.row_axis, atol=1e-3)
            and np.allclose(image.column_axis, first.column_axis, atol=1e-3)
        ):
            raise InputError(
                f"{source} mixes images of different size or direction ({first.path.name} and "
                f"{image.path.name}); leave one kind out."
            )
    positions_mm = np.array([image.along_axis_mm for image in images])
    gaps_mm = np.diff(positions_mm)
    usual_mm = float(np.median(gaps_mm))
    for i, gap_mm in enumerate(gaps_mm):
        names = f"{images[i].path.name} and {images[i + 1].path.name}"
        if gap_mm < _SAME_PLACE_MM:
            raise InputError(
                f"{source} has several images at the same place ({names}, at "
                f"{positions_mm[i]:.1f} mm); give a folder with one phase."
            )
        if gap_mm > WIDEST_GAP * usual_mm:
            raise InputError(
                f"{source} has a slice missing between {positions_mm[i]:.1f} and "
                f"{positions_mm[i + 1]:.1f} mm ({names}), where others lie {usual_mm:.1f} mm "
                "apart; export the series again."
            )
    places = np.array([image.position_lps for image in images])
    share = (positions_mm - positions_mm[0]) / (positions_mm[-1] - positions_mm[0])
    off_line = np.linalg.norm(places - places[0] - np.outer(share, places[-1] - places[0]), axis=1)
    if off_line.max() > _IN_LINE_WITHIN_MM:
        worst = images[int(off_line.argmax())]
        raise InputError(
            f"{source} has images shifted sideways against each other (by {off_line.max():.1f} mm "
            f"at {worst.path.name}); export the series again."
        )


def _read_pixels(image: DicomImage) -> np.ndarray:
    """Return one image's values, rescaled as its header says, [row, column]."""
    import SimpleITK as sitk

    try:
        pixels = sitk.ReadImage(str(image.path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise InputError(f"{image.path} is damaged or cut short; export it again.") from error
    if pixels.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{image.path} is a colour image; a CT in HU is needed.")
    return sitk.GetArrayFromImage(pixels)[0]


def _evenly_spaced(
    array: np.ndarray, positions_mm: np.ndarray, source: str
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Return slices at equal distances, that distance, and a warning when they were resampled."""
    even_mm = np.linspace(positions_mm[0], positions_mm[-1], len(positions_mm))
    if np.abs(positions_mm - even_mm).max() <= _EVEN_WITHIN_MM:
        return array, float(even_mm[1] - even_mm[0]), ()
    gaps_mm = np.diff(positions_mm)
    step_mm = float(np.median(gaps_mm))
    target_mm = np.arange(positions_mm[0], positions_mm[-1] + 1e-6, step_mm)
    above = np.clip(np.searchsorted(positions_mm, target_mm, side="right"), 1, len(gaps_mm))
    weight = (target_mm - positions_mm[above - 1]) / gaps_mm[above - 1]
    weight = weight[:, None, None].astype(np.float32)
    resampled = (1 - weight) * array[above - 1] + weight * array[above]
    warning = (
        f"{source} has slices {gaps_mm.min():.1f} to {gaps_mm.max():.1f} mm apart, so it was "
        f"resampled to {step_mm:.1f} mm."
    )
    return np.rint(resampled).astype(array.dtype), step_mm, (warning,)
