"""Read a CT volume (any file that SimpleITK knows, or a folder of DICOM images), and write one."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.dicom import is_dicom_file, read_series
from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.orientation import MAX_VOXELS, volume_from_array
from needle_backend.core.quiet import silent_libraries
from needle_backend.core.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

_FORMATS = "NIfTI, NRRD, MHA or a folder of DICOM images"


def read_volume(path: Path, series: str | None = None) -> Volume:
    """Read a CT and turn it to the closest LPS orientation.

    Parameters
    ----------
    path
        A NIfTI, NRRD, MHA... file, or a folder with a DICOM series.
    series
        Which series of a DICOM folder: its number or its SeriesInstanceUID; None when there is but
        one.

    Raises
    ------
    InputError
        When there is no such file, or it is not one whole CT volume.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give a CT as {_FORMATS}.")
    if not path.is_dir() and not path.is_file():
        raise InputError(f"{path} is not a file; give a CT as {_FORMATS}.")
    try:
        with silent_libraries():
            if path.is_dir():
                return read_series(path, series)
            return _read_file(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume, whole or not at all, in the format of the path's ending.

    Raises
    ------
    InputError
        When the place is not writable.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(volume.origin_lps)
    with written_whole(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=3)


def _read_file(path: Path) -> Volume:
    import SimpleITK as sitk

    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a CT as {_FORMATS}.")
    if is_dicom_file(path):
        raise InputError(f"{path} is a single DICOM image; give the folder that holds its series.")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path} {_why_unreadable(str(error))}") from error
    _check_header(reader, path)
    is_nifti = reader.HasMetaDataKey("vox_offset") and path.suffix in (".nii", ".gz")
    warnings = _check_nifti(reader, path) if is_nifti else ()
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path} {_why_unreadable(str(error))}") from error
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    volume = volume_from_array(sitk.GetArrayFromImage(image), _ijk_to_lps(image), str(path))
    return replace(volume, warnings=warnings + volume.warnings)


def _why_unreadable(itk_message: str) -> str:
    if "orthonormal" in itk_message:
        return "has axes that are not perpendicular; resample it to a regular grid first."
    if "Unable to determine ImageIO" in itk_message:
        return f"is not an image that can be read; give a CT as {_FORMATS}."
    return "cannot be read to its end; it is damaged or cut short, so copy or export it again."


def _check_header(reader: sitk.ImageFileReader, path: Path) -> None:
    """Refuse what is no single grey volume before any voxel takes memory."""
    size = reader.GetSize()
    dimension = len(size)
    if dimension < 3:
        raise InputError(f"{path} is a 2D image; a CT volume of several slices is needed.")
    if dimension > 4 or (dimension == 4 and size[3] != 1):
        images = math.prod(size[3:])
        raise InputError(
            f"{path} is a {dimension}D image holding {images} volumes; give one of them as a file "
            "of its own."
        )
    if reader.GetNumberOfComponents() != 1:
        raise InputError(f"{path} is a colour or vector image; a CT in HU is needed.")
    if math.prod(size) > MAX_VOXELS:
        raise InputError(
            f"{path} has {math.prod(size) / 1e6:.0f} million voxels, more than the "
            f"{MAX_VOXELS / 1e6:.0f} million that can be handled; crop it to the needles."
        )


def _check_nifti(reader: sitk.ImageFileReader, path: Path) -> tuple[str, ...]:
    """Find what ITK passes over in a NIfTI file: missing voxels and contradicting voxel sizes."""
    voxel_bytes = int(reader.GetMetaData("bitpix")) // 8 * math.prod(reader.GetSize())
    expected_bytes = float(reader.GetMetaData("vox_offset")) + voxel_bytes
    if _content_bytes(path) < expected_bytes:
        raise InputError(f"{path} is cut short or damaged; copy or export it again.")
    if int(reader.GetMetaData("sform_code")) > 0:
        rows = [reader.GetMetaData(f"srow_{axis}").split()[:3] for axis in "xyz"]
        spacing = np.linalg.norm(np.array(rows, float), axis=0)
        if np.isfinite(spacing).all() and not np.allclose(
            spacing, reader.GetSpacing()[:3], rtol=1e-3
        ):
            raise InputError(
                f"{path} states its voxel size twice, as {_sizes(reader.GetSpacing()[:3])} and as "
                f"{_sizes(spacing)} mm; export it again."
            )
    elif int(reader.GetMetaData("qform_code")) == 0:
        return (f"{path} does not say how the patient lies in it; left and right may be swapped.",)
    return ()


def _sizes(spacing: np.ndarray | tuple[float, ...]) -> str:
    return " x ".join(f"{size:.4g}" for size in spacing)


def _content_bytes(path: Path) -> int:
    """Count the bytes of a file, uncompressed; as many as can be had when it is damaged."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.stat().st_size
    count = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(1 << 22):
                count += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        # The checksum sits at the very end: a file that fails there is damaged somewhere.
        return 0
    return count


def _ijk_to_lps(image: sitk.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix
