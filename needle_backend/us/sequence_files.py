"""Read recordings that ITK knows: .mha and .nrrd sequences, DICOM with several frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.quiet import silent_libraries

_FASTEST_FPS = 1000.0
_UNDECLARED_CHROMA = (127.0, 129.0)


@dataclass(frozen=True)
class RecordedSequence:
    """All frames of a file.

    Attributes
    ----------
    frames
        [frame, row, column] or [frame, row, column, channel]; channels are blue, green, red, alpha.
    fps
        Frames a second; None when the file does not tell.
    """

    frames: np.ndarray
    fps: float | None


def read_sequence(path: Path) -> RecordedSequence | None:
    """Read a file's frames; None when ITK does not know its format.

    Frames lie along the third axis, along the fourth where the third is a single slice, or (as
    3D Slicer writes a sequence) in the components of a pixel.

    Raises
    ------
    InputError
        When the file is damaged, or holds volumes instead of images.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with silent_libraries():
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            if "Unable to determine ImageIO" in str(error):
                return None
            raise _damaged(path) from error
        tags = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise _damaged(path) from error
    array = sitk.GetArrayFromImage(image)
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1 and (components > 4 or tags.get("NRRD_kinds[pixel]") == "list"):
        array, components = np.moveaxis(array, -1, 0), 1
    planes = array.shape[: array.ndim - (3 if components > 1 else 2)]
    if sum(count > 1 for count in planes) > 1:
        raise InputError(
            f"{path} holds a sequence of volumes ({' x '.join(map(str, array.shape))}); give one "
            "of images."
        )
    frames = array.reshape(math.prod(planes), *array.shape[len(planes) :])
    if components >= 3:
        frames = _blue_first(frames)
    return RecordedSequence(frames, rate_of(tags, len(frames)))


def rate_of(tags: Mapping[str, str], count: int) -> float | None:
    """Return the frames a second that a file's header tells, None when it tells nothing usable.

    Known are DICOM (FrameTime, CineRate), Plus (a time stamp a frame) and 3D Slicer (index values
    in seconds).
    """
    if frame_ms := _number(tags.get("0018|1063")):
        return _usable(1000 / frame_ms)
    if rate := _number(tags.get("0018|0040")):
        return _usable(rate)
    stamps = [_number(tags.get(f"Seq_Frame{number:04d}_Timestamp")) for number in range(count)]
    # Slicer's older and its newer form.
    for axis, unit in ((0, "axis 0 index unit"), (3, "NRRD_units[pixel]")):
        if tags.get(unit) == "s":
            stamps = [_number(value) for value in tags.get(f"axis {axis} index values", "").split()]
    if len(stamps) < 2 or None in stamps:
        return None
    step_s = float(np.median([after - before for before, after in itertools.pairwise(stamps)]))
    return _usable(1 / step_s) if step_s > 0 else None


def _blue_first(frames: np.ndarray) -> np.ndarray:
    """Turn red, green, blue into blue, green, red; brightness and chroma into grey."""
    low, high = _UNDECLARED_CHROMA
    is_middle = [low <= np.median(frames[0, ..., channel]) <= high for channel in range(3)]
    # Some scanners store YCbCr and call it RGB: two channels are then 128 wherever it is grey.
    if is_middle == [False, True, True]:
        return frames[..., 0]
    return frames[..., [2, 1, 0, *range(3, frames.shape[-1])]]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _usable(fps: float) -> float | None:
    return fps if 0 < fps <= _FASTEST_FPS else None


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged or cut short; copy or export it again.")
