"""Open a recording, whatever it is, as grey frames of 8 bits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.quiet import silent_libraries
from needle_backend.us.grey import GreyWindow, coloured_pixels, to_grey, window_of
from needle_backend.us.sequence_files import read_sequence

if TYPE_CHECKING:
    import cv2

ASSUMED_FPS = 25.0
"""Frames a second where neither the file nor the user tells."""
SMALLEST_PX = 32
"""Frames smaller than this on a side cannot show a needle."""

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".webp", ".dcm")
_VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".3gp", ".flv", ".ogv"),
)
_KINDS = "a video, a folder of images, an .mha or .nrrd sequence or a DICOM file"
_FASTEST_FPS = 1000.0
_SHORTER_BY = 0.1
_WINDOW_SAMPLES = 5


@dataclass(frozen=True)
class Frame:
    """One grey frame.

    Attributes
    ----------
    index, time_s
        Its number from 0, and its time.
    image
        Grey uint8 [row, column].
    ijk_to_ras
        (4, 4): from column, row and slice to RAS mm; None where it is not known.
    """

    index: int
    time_s: float
    image: np.ndarray
    ijk_to_ras: np.ndarray | None = None

    def to_world(self, x: float, y: float) -> np.ndarray:
        """Return where a point of the image lies: (3,) in RAS mm, in pixels where not known."""
        ijk = np.array([x, y, 0.0, 1.0])
        return (ijk if self.ijk_to_ras is None else self.ijk_to_ras @ ijk)[:3]


@dataclass(frozen=True)
class FrameSource:
    """A recording whose frames can be gone through, more than once.

    Attributes
    ----------
    name
        What it was opened from.
    fps
        Frames a second; None when unknown (times are then those of :data:`ASSUMED_FPS`).
    size
        Columns and rows.
    count
        Number of frames; None when unknown. A video may state one frame more than it holds.
    coloured
        Bool [row, column]: where the first frame shows colours.
    read
        Gives the grey images, from the first one.
    """

    name: str
    fps: float | None
    size: tuple[int, int]
    count: int | None
    coloured: np.ndarray
    read: Callable[[], Iterator[np.ndarray]]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises
        ------
        InputError
            When a frame is damaged, changes size or holds no numbers.
        """
        for index, image in enumerate(self.read()):
            rows, columns = image.shape
            if (columns, rows) != self.size:
                raise InputError(
                    f"{self.name} changes size: frame {index} has {columns} x {rows} pixels, the "
                    f"first one {self.size[0]} x {self.size[1]}; give recordings of one size each."
                )
            yield Frame(index, index / (self.fps or ASSUMED_FPS), image)


def open_frames(path: Path, fps: float | None = None) -> FrameSource:
    """Open a recording.

    Parameters
    ----------
    path
        A video; a folder of images, taken in natural order (2 before 10); an .mha or .nrrd
        sequence; DICOM with one or several frames; one image.
    fps
        Frames a second, instead of what the file says.

    Raises
    ------
    InputError
        When it does not exist, is empty, damaged or no recording, or its frames are too small.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give {_KINDS}.")
    if path.is_dir():
        return _of_images(image_files(path), str(path), fps)
    if not path.is_file():
        raise InputError(f"{path} is not a file; give {_KINDS}.")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; copy or export it again.")
        ending = path.suffix.lower()
        if ending in _VIDEO_ENDINGS:
            return _of_video(path, fps)
        if ending in IMAGE_ENDINGS and ending not in (".tif", ".tiff", ".dcm"):
            return _of_images([path], str(path), fps)
        return _of_sequence(path, fps)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error


def image_files(folder: Path) -> list[Path]:
    """Return a folder's images in natural order.

    Raises
    ------
    InputError
        When there are none.
    """
    files = _images_in(folder)
    if not files:
        deeper = [path for path in sorted(folder.iterdir()) if path.is_dir() and _images_in(path)]
        hint = (
            f"but {deeper[0]} does; give that" if deeper else f"none of {', '.join(IMAGE_ENDINGS)}"
        )
        raise InputError(f"{folder} holds no images itself, {hint}.")
    return sorted(files, key=natural_order)


def _images_in(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_ENDINGS and path.is_file() and not path.name.startswith(".")
    ]


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts names as people number them: frame_2 before frame_10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _of_images(files: Sequence[Path], name: str, fps: float | None) -> FrameSource:
    first = _read_image(files[0])
    window = None
    if first.dtype != np.uint8:
        sampled = files[:: max(1, len(files) // _WINDOW_SAMPLES)]
        window = window_of([to_grey(_read_image(path), str(path)) for path in sampled])

    def read() -> Iterator[np.ndarray]:
        for path in files:
            yield _eight_bits(_read_image(path), window, str(path))

    return _source(name, fps, len(files), first, read)


def _read_image(path: Path) -> np.ndarray:
    """Read one image, blue first where it has colours."""
    import cv2

    if path.suffix.lower() == ".dcm":
        recorded = read_sequence(path)
        if recorded is None or len(recorded.frames) != 1:
            raise InputError(f"{path} is no single image; give it by itself, not in a folder.")
        return recorded.frames[0]
    # imdecode, not imread, which cannot open names with letters beyond ASCII on Windows.
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if len(content) else None
    if image is None:
        raise InputError(f"{path} is empty, damaged or no image; copy or export it again.")
    return image


def _of_sequence(path: Path, fps: float | None) -> FrameSource:
    recorded = read_sequence(path)
    if recorded is None:
        raise InputError(f"{path} is no recording that can be read; give {_KINDS}.")
    frames = recorded.frames
    window = None
    if frames.dtype != np.uint8:
        places = range(0, len(frames), max(1, len(frames) // _WINDOW_SAMPLES))
        window = window_of([to_grey(frames[i], f"{path}, frame {i},") for i in places])

    def read() -> Iterator[np.ndarray]:
        for index, frame in enumerate(frames):
            yield _eight_bits(frame, window, f"{path}, frame {index},")

    return _source(str(path), fps or recorded.fps, len(frames), frames[0], read)


def _of_video(path: Path, fps: float | None) -> FrameSource:
    video = _open_video(path)
    is_read, first = video.read()
    if not is_read:
        raise InputError(f"{path} holds no frame that can be read; copy or export it again.")
    import cv2

    stated = video.get(cv2.CAP_PROP_FRAME_COUNT)
    rate = video.get(cv2.CAP_PROP_FPS)
    video.release()
    count = int(stated) if math.isfinite(stated) and stated >= 1 else None
    known_fps = rate if math.isfinite(rate) and 0 < rate <= _FASTEST_FPS else None

    def read() -> Iterator[np.ndarray]:
        video = _open_video(path)
        index = 0
        try:
            while True:
                is_read, image = video.read()
                if not is_read:
                    break
                yield to_grey(image, f"{path}, frame {index},")
                index += 1
        finally:
            video.release()
        if count is not None and index < (1 - _SHORTER_BY) * count - 1:
            raise InputError(
                f"{path} breaks off after {index} of {count} frames; copy or export it again."
            )

    return _source(str(path), fps or known_fps, count, first, read)


def _open_video(path: Path) -> cv2.VideoCapture:
    # Read by the library when it first opens a video: else it writes to the user's terminal.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    with silent_libraries():
        video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not video.isOpened():
        raise InputError(f"{path} is damaged or no recording; give {_KINDS}.")
    return video


def _eight_bits(image: np.ndarray, window: GreyWindow | None, place: str) -> np.ndarray:
    grey = to_grey(image, place)
    if window is not None:
        return window.apply(grey)
    if grey.dtype != np.uint8:
        raise InputError(
            f"{place} has more than 8 bits a pixel, the first image has 8; give one kind."
        )
    return grey


def _source(
    name: str,
    fps: float | None,
    count: int | None,
    first: np.ndarray,
    read: Callable[[], Iterator[np.ndarray]],
) -> FrameSource:
    rows, columns = first.shape[:2]
    if min(rows, columns) < SMALLEST_PX:
        raise InputError(
            f"{name} has frames of {columns} x {rows} pixels; at least {SMALLEST_PX} x "
            f"{SMALLEST_PX} are needed to show a needle."
        )
    return FrameSource(name, fps, (columns, rows), count, coloured_pixels(first), read)
