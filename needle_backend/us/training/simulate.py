"""Simulate a puncture under ultrasound: tissue -> motion -> needle -> display -> truth.

A sequence is a pure function of its settings, its seed and its background.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.anatomy import Tissue, draw_tissue
from needle_backend.us.training.backgrounds import as_tissue, place
from needle_backend.us.training.motion import (
    Puncture,
    TissueMotion,
    draw_puncture,
    draw_shift,
)
from needle_backend.us.training.needle_echo import NeedleEcho
from needle_backend.us.training.needle_look import draw_look
from needle_backend.us.training.probe import CurvedProbe, LinearProbe, Probe
from needle_backend.us.training.settings import ProbeSettings, SimulationSettings
from needle_backend.us.training.speckle import (
    Display,
    PointSpread,
    amplitude,
    smooth_series,
    speckle,
)

VISIBLE_CONTRAST = 1.0
_PERSISTENCE_FPS = 30.0
_BOX_AT_640 = ((36.0, 5.0), (20.0, 3.0))


@dataclass(frozen=True)
class FrameTruth:
    """What is known about a frame.

    Attributes
    ----------
    visible
        Whether the tip's echo stands out: ``contrast`` is at least ``VISIBLE_CONTRAST``.
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


@dataclass(frozen=True)
class SimulatedSequence:
    """Frames, uint8 [frame, row, column], with everything known about them."""

    frames: np.ndarray
    fps: float
    truth: tuple[FrameTruth, ...]
    facts: dict[str, object]


def simulate_sequence(
    settings: SimulationSettings, seed: int, background: np.ndarray | None = None
) -> SimulatedSequence:
    """Simulate one sequence; with ``background``, over this real needle-free grey image."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    times_s = np.arange(settings.sequence.frames) / settings.sequence.fps
    scene = _draw_scene(settings, background, rng)
    shift = draw_shift(settings.tissue, times_s, rng)
    moving = TissueMotion(settings.tissue, scene.probe, shift, times_s, rng)
    puncture, echo = None, None
    if rng.random() >= settings.sequence.needle_free_share:
        puncture = draw_puncture(
            settings.needle, settings.motion, scene.probe, scene.px_per_mm, shift, times_s, rng
        )
        look = draw_look(settings.needle, draw(rng, settings.motion.slice_mm), scene.px_per_mm, rng)
        echo = NeedleEcho(look, scene.probe, scene.spread, rng)
    frames, contrasts = _record(settings, scene, moving, puncture, echo, times_s, rng)
    box = tuple(
        float(np.clip(rng.normal(mean, sd), mean - 2 * sd, mean + 2 * sd))
        * settings.sequence.size[0] / 640
        for mean, sd in _BOX_AT_640
    )  # fmt: skip
    facts = {
        "seed": seed,
        "needle": puncture is not None,
        "probe": type(scene.probe).__name__,
        "px_per_mm": scene.px_per_mm,
        "range_db": scene.display.range_db,
    }
    truth = _truth(scene.probe, puncture, _steadied(contrasts, settings.sequence.fps), box)
    return SimulatedSequence(frames, settings.sequence.fps, truth, facts)


@dataclass(frozen=True)
class _Scene:
    probe: Probe
    spread: PointSpread
    display: Display
    tissue: Tissue
    px_per_mm: float


def _draw_scene(
    settings: SimulationSettings, background: np.ndarray | None, rng: np.random.Generator
) -> _Scene:
    look = settings.probe
    display = Display(draw(rng, look.dynamic_range_db))
    picture, blur = None, 1.0
    if background is None:
        probe = _draw_probe(look, settings.sequence.size, rng)
    else:
        picture, probe, scale = place(background, settings.sequence.size, rng)
        blur = max(1.0, 0.75 * scale)
    beam_px = probe.lateral_px()
    spread = PointSpread.focused(
        draw(rng, look.axial_px) * blur,
        draw(rng, look.lateral_px) * blur,
        draw(rng, look.defocus),
        rng.uniform(0.25, 0.75),
        beam_px,
    )
    if picture is None:
        tissue = draw_tissue(settings.tissue, probe, spread, display.range_db, rng)
    else:
        tissue = as_tissue(picture, probe, display, spread, rng)
    curved = isinstance(probe, CurvedProbe)
    depth_mm = draw(rng, look.curved_depth_mm if curved else look.linear_depth_mm)
    return _Scene(probe, spread, display, tissue, probe.shape[0] / depth_mm)


def _draw_probe(settings: ProbeSettings, size: tuple[int, int], rng: np.random.Generator) -> Probe:
    columns, rows = size
    margin = rng.random() < settings.margin_share
    if rng.random() >= settings.curved_share:
        width = columns * (rng.uniform(0.55, 1) if margin else 1)
        height = rows * (rng.uniform(0.75, 1) if margin else 1)
        left, top = rng.uniform(0, columns - width), rng.uniform(0, 0.5 * (rows - height))
        return LinearProbe((columns, rows), left, top, width, height, rng.uniform(1.4, 2.4))
    half = np.radians(draw(rng, settings.field_angle_deg)) / 2
    height = rows * rng.uniform(0.85, 1.0)
    radius = height * rng.uniform(0.25, 0.6)
    reach = min(1.0, 0.5 * columns / ((radius + height) * np.sin(half)))
    radius, height = radius * reach, height * reach
    apex = (columns / 2 + rng.normal(0, 6), 2 - radius * np.cos(half))
    beams = round(float((radius + 0.6 * height) * 2 * half / 1.8))
    return CurvedProbe((columns, rows), apex, radius, height, float(half), beams)


def _record(
    settings: SimulationSettings,
    scene: _Scene,
    moving: TissueMotion,
    puncture: Puncture | None,
    echo: NeedleEcho | None,
    times_s: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames and the tip's contrast in each."""
    count = len(times_s)
    probe, display = scene.probe, scene.display
    look = settings.probe
    real = scene.tissue.margin == 0
    gain_db = (0.0 if real else draw(rng, look.gain_db)) + draw(
        rng, settings.tissue.flicker_db
    ) * rng.standard_normal(count)
    change = draw(rng, settings.tissue.decorrelation) * (0.4 if real else 1.0)
    turn = change * np.tanh(smooth_series(count, 0.4 * settings.sequence.fps, rng))
    tip_db = 2.5 * smooth_series(count, 0.2 * settings.sequence.fps, rng)
    smoothing = draw(rng, look.smoothing_px)
    persistence = draw(rng, look.persistence) ** (_PERSISTENCE_FPS / settings.sequence.fps)
    # A real image holds its own noise already; only what changes from frame to frame is added.
    noise_share = draw(rng, look.noise_share) + (0.3 if real else 0)
    noise = float(amplitude(-display.range_db * noise_share))
    compounding = draw(rng, look.compounding)
    samples, beams = probe.shape
    noises = noise * speckle((samples + 64, beams + 64), scene.spread, rng)
    frames = np.empty((count, probe.size[1], probe.size[0]), np.uint8)
    contrasts = np.zeros(count)
    shown = None
    for frame in range(count):
        pose = puncture.poses[frame] if puncture is not None else None
        drag = puncture.drag[frame] if puncture is not None else 0.0
        tissue = scene.tissue.seen(moving.at(frame, pose, drag), turn[frame])
        seen = echo.seen(pose, tip_db[frame]) if echo is not None else None
        both = tissue if seen is None else seen.onto(tissue)
        row, column = rng.integers(64, size=2)
        fresh = noises[row : row + samples, column : column + beams]
        gain = np.float32(amplitude(gain_db[frame]))
        envelope = gain * _magnitude(both + fresh)
        # A real image has been compounded already: there it is only the needle's speckle.
        needle_share = seen.share(both) if real and seen is not None else float(not real)
        averaged = cv2.GaussianBlur(envelope, (0, 0), 2.2)
        envelope += compounding * needle_share * (averaged - envelope)
        grey = display.grey(envelope)
        if seen is not None:
            before = display.grey(_magnitude(tissue + fresh) * gain)
            behind = pose.xy[min(8, len(pose.xy) - 1)]
            contrasts[frame] = tip_contrast(before, grey, probe.to_grid(behind))
        picture = probe.scan.picture(grey)
        picture = cv2.GaussianBlur(picture, (0, 0), smoothing)
        shown = picture if shown is None else shown + (1 - persistence) * (picture - shown)
        frames[frame] = np.rint(shown)
    return frames, contrasts


def tip_contrast(without: np.ndarray, grey: np.ndarray, tip: np.ndarray) -> float:
    """Return how far a tip at (beam, sample) stands out, in standard deviations around it.

    Compared are the brightest thirds of a spot at the tip: with the needle, without it, and of
    the surroundings without it.
    """
    samples, beams = grey.shape
    beam, sample = np.rint(tip).astype(int)
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


def _window(row: int, column: int, high: int, wide: int, shape: tuple[int, int]):
    return (
        slice(max(row - high, 0), min(row + high + 1, shape[0])),
        slice(max(column - wide, 0), min(column + wide + 1, shape[1])),
    )


def _magnitude(echoes: np.ndarray) -> np.ndarray:
    return cv2.magnitude(*cv2.split(echoes))


def _steadied(contrasts: np.ndarray, fps: float) -> np.ndarray:
    """Median over 0.17 s: a reader judges a moving picture, not a still."""
    half = int(0.085 * fps)
    padded = np.pad(contrasts, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.median(windows, axis=-1)


def _truth(
    probe: Probe,
    puncture: Puncture | None,
    contrasts: np.ndarray,
    box: tuple[float, float],
) -> tuple[FrameTruth, ...]:
    if puncture is None:
        return (FrameTruth(visible=False),) * len(contrasts)
    return tuple(
        _frame_truth(probe, pose.tip, float(contrast), box)
        for pose, contrast in zip(puncture.poses, contrasts, strict=True)
    )


def _frame_truth(
    probe: Probe, tip: np.ndarray, contrast: float, box: tuple[float, float]
) -> FrameTruth:
    column, row = np.rint(tip).astype(int)
    columns, rows = probe.size
    inside = 0 <= column < columns and 0 <= row < rows and bool(probe.scan.sector[row, column])
    if not inside:
        return FrameTruth(visible=False)
    point = (round(float(tip[0]), 2), round(float(tip[1]), 2))
    if contrast < VISIBLE_CONTRAST:
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
