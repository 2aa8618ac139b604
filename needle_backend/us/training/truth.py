"""What is known about simulated frames: the tip, its box, and whether a reader could see it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

from needle_backend.us.training.motion import Puncture
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.settings import VISIBLE_CONTRAST

_READERS_GLANCE_S = 0.17
_BOX_AT_640 = ((36.0, 5.0), (20.0, 3.0))


@dataclass(frozen=True)
class FrameTruth:
    """What is known about a frame.

    Attributes
    ----------
    visible
        Whether the tip's echo stands out: ``contrast`` is at least ``VISIBLE_CONTRAST``; or the
        shaft's does, and ends there.
    tip_xy
        The visible tip in picture pixels, else None.
    box
        (x0, y0, width, height) around the visible tip, else None.
    hidden_tip
        Where a tip lies that is not visible; None without a needle or outside the sector.
    contrast
        What the tip adds to the grey levels, or how far it exceeds its surroundings, whichever is
        less, in standard deviations of the surroundings; 0 without a tip in the sector.
    """

    visible: bool
    tip_xy: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    hidden_tip: tuple[float, float] | None = None
    contrast: float = 0.0


def draw_box(columns: int, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the width and height of a sequence's tip boxes in pictures of so many columns.

    Normal, 36 +- 5 by 20 +- 3 px at 640 columns, within two standard deviations.
    """
    width, height = (
        float(np.clip(rng.normal(mean, sd), mean - 2 * sd, mean + 2 * sd)) * columns / 640
        for mean, sd in _BOX_AT_640
    )
    return width, height


def frame_truths(
    probe: Probe,
    puncture: Puncture | None,
    contrasts: np.ndarray,
    box: tuple[float, float],
    fps: float,
    contrast_on_shaft: float = VISIBLE_CONTRAST,
) -> tuple[FrameTruth, ...]:
    """Return every frame's truth from the contrasts of tip and shaft in each, (frames, 2).

    From ``contrast_on_shaft`` on, a tip is visible whose shaft is seen right behind it.
    """
    if puncture is None:
        return (FrameTruth(visible=False),) * len(contrasts)
    tip, shaft = (_steadied(series, fps) for series in contrasts.T)
    least = np.where(shaft >= VISIBLE_CONTRAST, contrast_on_shaft, VISIBLE_CONTRAST)
    return tuple(
        _frame_truth(probe, pose.tip, float(contrast), bool(visible), box)
        for pose, contrast, visible in zip(puncture.poses, tip, tip >= least, strict=True)
    )


def _frame_truth(
    probe: Probe, tip: np.ndarray, contrast: float, visible: bool, box: tuple[float, float]
) -> FrameTruth:
    column, row = np.rint(tip).astype(int)
    columns, rows = probe.size
    inside = 0 <= column < columns and 0 <= row < rows and bool(probe.scan.sector[row, column])
    if not inside:
        return FrameTruth(visible=False)
    point = (round(float(tip[0]), 2), round(float(tip[1]), 2))
    if not visible:
        return FrameTruth(visible=False, hidden_tip=point, contrast=contrast)
    width, height = box
    corner = (point[0] - width / 2, point[1] - height / 2, width, height)
    return FrameTruth(True, point, tuple(round(v, 2) for v in corner), None, contrast)


def truth_row(truth: FrameTruth) -> dict[str, object]:
    """Return a frame's truth as it is written to truth.json."""
    row = asdict(truth)
    row["tip"] = row.pop("tip_xy")
    row["contrast"] = round(truth.contrast, 3)
    return row


def contrast_at(without: np.ndarray, grey: np.ndarray, place: np.ndarray) -> float:
    """Return how far a needle stands out at (beam, sample), in standard deviations around it.

    Compared are the brightest thirds of a spot there: with the needle, without it, and of
    the surroundings without it.
    """
    samples, beams = grey.shape
    beam, sample = np.rint(place).astype(int)
    if not (0 <= beam < beams and 0 <= sample < samples):
        return 0.0
    spot = _window(sample, beam, 6, 7, grey.shape)
    around = _window(sample, beam, 26, 32, grey.shape)
    there, before, usual = (
        _bright_third(part) for part in (grey[spot], without[spot], without[around])
    )
    blurred = cv2.GaussianBlur(without[around], (0, 0), 2.5)
    return min(there - before, there - usual) / max(float(blurred.std()), 8.0)


def _bright_third(part: np.ndarray) -> float:
    return float(np.sort(part, axis=None)[-part.size // 3 :].mean())


def _window(
    row: int, column: int, high: int, wide: int, shape: tuple[int, int]
) -> tuple[slice, slice]:
    return (
        slice(max(row - high, 0), min(row + high + 1, shape[0])),
        slice(max(column - wide, 0), min(column + wide + 1, shape[1])),
    )


def _steadied(contrasts: np.ndarray, fps: float) -> np.ndarray:
    """Median over a glance: a reader judges a moving picture, not a still."""
    half = int(0.5 * _READERS_GLANCE_S * fps)
    padded = np.pad(contrasts, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.median(windows, axis=-1)
