"""Draw what is known of the tip into frames, and write such frames as a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import BackendError
from needle_backend.core.files import written_whole
from needle_backend.us.sector import Rect
from needle_backend.us.tips import DETECTED, FrameAnswer, Tip

Colour = tuple[int, int, int]
"""Blue, green, red."""

COLOURS: dict[str, Colour] = {
    "detected": (80, 255, 80),
    "predicted": (0, 215, 255),
    "lost": (80, 80, 255),
}
REGION_COLOUR: Colour = (110, 110, 110)
BLACK: Colour = (0, 0, 0)

_USUAL_PX = 800


def draw_answer(image: np.ndarray, answer: FrameAnswer, region: Rect | None = None) -> np.ndarray:
    """Draw the answer into a frame.

    The tip's box is drawn, and a cross whose arms leave the tip itself free to be looked at. The
    state is written into the upper left corner.

    Parameters
    ----------
    image
        Grey uint8 [row, column].
    answer
        What was found in it.
    region
        The imaging region, where it is not the whole frame.

    Returns
    -------
    numpy.ndarray
        uint8 [row, column, channel]: blue, green, red.
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    scale = max(0.4, max(image.shape) / _USUAL_PX)
    if region is not None and region != (0, 0, image.shape[1], image.shape[0]):
        x0, y0, x1, y1 = region
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), REGION_COLOUR, 1)
    colour = COLOURS[answer.state]
    if answer.tip is not None:
        _draw_tip(canvas, answer.tip, colour, scale)
    text = "tip lost"
    if answer.tip is not None:
        certainty = "" if answer.state == DETECTED else f"{answer.state}, "
        text = f"tip {certainty}{answer.tip.confidence:.2f}"
    _write(canvas, text, region[:2] if region else (0, 0), colour, scale)
    return canvas


def _draw_tip(canvas: np.ndarray, tip: Tip, colour: Colour, scale: float) -> None:
    thick = max(1, round(scale))
    x, y = round(tip.x), round(tip.y)
    half = round(tip.width / 2), round(tip.height / 2)
    cv2.rectangle(canvas, (x - half[0], y - half[1]), (x + half[0], y + half[1]), colour, thick)
    arm = round(9 * scale)
    for along_x, along_y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        inner = x + along_x * half[0], y + along_y * half[1]
        outer = inner[0] + along_x * arm, inner[1] + along_y * arm
        cv2.line(canvas, inner, outer, colour, thick)


def _write(
    canvas: np.ndarray, text: str, corner: tuple[int, int], colour: Colour, scale: float
) -> None:
    """Write a word right below a corner, on black: it may lie on bright tissue."""
    font, size, thick = cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, max(1, round(1.5 * scale))
    (width, height), below = cv2.getTextSize(text, font, size, thick)
    x, y = corner
    cv2.rectangle(canvas, (x, y), (x + width + 2 * below, y + height + 2 * below), BLACK, -1)
    cv2.putText(
        canvas, text, (x + below, y + height + below), font, size, colour, thick, cv2.LINE_AA
    )


@contextmanager
def overlay_video(
    path: Path, size: tuple[int, int], fps: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write frames as an MPEG-4 video, which appears when the block succeeds.

    Parameters
    ----------
    path
        Must end in .mp4.
    size
        Columns and rows; odd ones grow by a pixel, as the format wants.
    fps
        Frames a second.

    Yields
    ------
    collections.abc.Callable
        To be called with each frame: uint8 [row, column, channel], blue first.

    Raises
    ------
    InputError
        When the place is not writable.
    BackendError
        When the video cannot be made.
    """
    columns, rows = size
    odd_columns, odd_rows = columns % 2, rows % 2
    with written_whole(path) as temporary:
        video = cv2.VideoWriter(
            str(temporary),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter_fourcc(*"mp4v"),
            fps,
            (columns + odd_columns, rows + odd_rows),
        )
        if not video.isOpened():
            raise BackendError(f"{path} could not be written as a video of {columns} x {rows}.")

        def write(frame: np.ndarray) -> None:
            video.write(
                cv2.copyMakeBorder(frame, 0, odd_rows, 0, odd_columns, cv2.BORDER_REPLICATE)
            )

        try:
            yield write
        finally:
            video.release()
        if temporary.stat().st_size == 0:
            raise BackendError(f"{path} could not be written; the disk may be full.")
