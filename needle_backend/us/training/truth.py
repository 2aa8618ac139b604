"""What is known about simulated frames: the tip, its box, and whether a reader could see it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import cv2
import numpy as np

from needle_backend.us.training.motion import STEP_PX, Pose, Puncture
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.settings import VISIBLE_CONTRAST, SequenceSettings

_READERS_GLANCE_S = 0.17
_SPOTS_BEHIND = (8, 32)
"""Points behind the tip around which its brightness and the shaft's are judged."""
_BOX_AT_640 = ((36.0, 5.0), (20.0, 3.0))
_LINE_PX, _END_PX = 96, 24
_ASIDE_PX, _NEEDLE_PX = 26, 6
_LEAST_LINE_SD = 3.0
_SEEN_LINE, _DOUBTFUL_LINE = 2.5, 1.5
"""From which contrasts on a reader sees a line, and from which on some would."""


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
    doubtful
        Whether a tip that does not count as visible may be seen all the same, by its shaft's line:
        no frame to learn from.
    """

    visible: bool
    tip_xy: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    hidden_tip: tuple[float, float] | None = None
    contrast: float = 0.0
    doubtful: bool = False


@dataclass(frozen=True)
class Contrasts:
    """How far parts of a needle stand out in every frame, in standard deviations around them.

    Attributes
    ----------
    tip, shaft
        (frames,) of spots at the tip and right behind it, see :func:`contrast_at`.
    line, end
        (frames,) of the shaft's line and of its last bit, see :func:`line_contrast`.
    """

    tip: np.ndarray
    shaft: np.ndarray
    line: np.ndarray
    end: np.ndarray

    @classmethod
    def none(cls, frames: int) -> Contrasts:
        """Return those of a picture without a needle."""
        return cls(*(np.zeros(frames) for _ in range(4)))

    def measure(
        self, frame: int, probe: Probe, pose: Pose, without: np.ndarray, grey: np.ndarray
    ) -> None:
        """Fill in a frame's, from its grey levels on the grid without and with the needle."""
        spots = [pose.xy[min(behind, len(pose.xy) - 1)] for behind in _SPOTS_BEHIND]
        self.tip[frame], self.shaft[frame] = (
            contrast_at(without, grey, probe.to_grid(xy)) for xy in spots
        )
        self.line[frame], self.end[frame] = (
            line_contrast(without, grey, probe.to_grid(_beside_shaft(pose, length_px)))
            for length_px in (_LINE_PX, _END_PX)
        )

    def steadied(self, fps: float) -> Contrasts:
        """Median over a glance: a reader judges a moving picture, not a still."""
        return Contrasts(*(_steadied(getattr(self, one.name), fps) for one in fields(self)))


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
    contrasts: Contrasts,
    box: tuple[float, float],
    settings: SequenceSettings,
) -> tuple[FrameTruth, ...]:
    """Return every frame's truth from how far tip and shaft stand out."""
    if puncture is None:
        return (FrameTruth(visible=False),) * settings.frames
    seen = contrasts.steadied(settings.fps)
    least = np.where(
        seen.shaft >= VISIBLE_CONTRAST, settings.tip_contrast_on_shaft, VISIBLE_CONTRAST
    )
    ends = (seen.line >= _SEEN_LINE) & (seen.end >= settings.end_contrast_on_line)
    visible = (seen.tip >= least) | ends
    doubtful = ~visible & (seen.line >= _DOUBTFUL_LINE) & np.isfinite(settings.end_contrast_on_line)
    return tuple(
        _frame_truth(probe, pose.tip, float(seen.tip[frame]), visible[frame], doubtful[frame], box)
        for frame, pose in enumerate(puncture.poses)
    )


def _frame_truth(
    probe: Probe,
    tip: np.ndarray,
    contrast: float,
    visible: bool,
    doubtful: bool,
    box: tuple[float, float],
) -> FrameTruth:
    column, row = np.rint(tip).astype(int)
    columns, rows = probe.size
    inside = 0 <= column < columns and 0 <= row < rows and bool(probe.scan.sector[row, column])
    if not inside:
        return FrameTruth(visible=False)
    point = (round(float(tip[0]), 2), round(float(tip[1]), 2))
    if not visible:
        return FrameTruth(
            visible=False, hidden_tip=point, contrast=contrast, doubtful=bool(doubtful)
        )
    width, height = box
    corner = (point[0] - width / 2, point[1] - height / 2, width, height)
    return FrameTruth(True, point, tuple(round(v, 2) for v in corner), None, contrast)


def truth_row(truth: FrameTruth) -> dict[str, object]:
    """Return a frame's truth as it is written to truth.json."""
    row = asdict(truth)
    row["tip"] = row.pop("tip_xy")
    row["contrast"] = round(truth.contrast, 3)
    if not row.pop("doubtful"):
        return row
    return {**row, "doubtful": True}


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


def line_contrast(without: np.ndarray, grey: np.ndarray, lines: np.ndarray) -> float:
    """Return how far a shaft stands out from lines beside it, in their standard deviations.

    A reader sees a line by its whole length, though no spot of it exceeds the speckle. Compared are
    the means along the brightest of the inner lines: with the needle, without it, and the median of
    the outer ones without it.

    Parameters
    ----------
    without, grey
        (samples, beams) grey levels without and with the needle.
    lines
        (lines, points, 2): points (beam, sample) of lines beside each other, the shaft's in the
        middle, one pixel apart.
    """
    samples, beams = grey.shape
    first, last = lines[len(lines) // 2, [0, -1]]
    if not all(0 <= place[0] < beams and 0 <= place[1] < samples for place in (first, last)):
        return 0.0
    at = lines.astype(np.float32)
    there, before = (
        cv2.remap(
            one.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).mean(1)
        for one in (grey, without)
    )  # fmt: skip
    inner = np.abs(np.arange(len(lines)) - len(lines) // 2) <= _NEEDLE_PX
    usual = float(np.median(before[~inner]))
    brightest = float(there[inner].max())
    sd = max(float(before[~inner].std()), _LEAST_LINE_SD)
    return min(brightest - float(before[inner].max()), brightest - usual) / sd


def _beside_shaft(pose: Pose, length_px: float) -> np.ndarray:
    """Return picture points of lines along the shaft behind the tip, (lines, points, 2)."""
    shaft = pose.xy[: max(2, round(length_px / STEP_PX))]
    along = (shaft[-1] - shaft[0]) / np.linalg.norm(shaft[-1] - shaft[0])
    aside = np.arange(-_ASIDE_PX, _ASIDE_PX + 1)[:, None, None] * (-along[1], along[0])
    return shaft + aside


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
    half = int(0.5 * _READERS_GLANCE_S * fps)
    padded = np.pad(contrasts, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.median(windows, axis=-1)
