"""Simulate a puncture under ultrasound: tissue -> motion -> needle -> scanner -> truth.

A sequence is a pure function of its settings, its seed and its background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.anatomy import Tissue, draw_lines, draw_tissue
from needle_backend.us.training.backgrounds import as_tissue, place
from needle_backend.us.training.motion import (
    Puncture,
    TissueMotion,
    draw_puncture,
    draw_shift,
)
from needle_backend.us.training.needle_echo import NeedleEcho
from needle_backend.us.training.needle_look import NeedleLook, draw_look
from needle_backend.us.training.probe import CurvedProbe, Probe, draw_probe
from needle_backend.us.training.recut import recut
from needle_backend.us.training.scanner import Scanner
from needle_backend.us.training.settings import NeedleSettings, SimulationSettings
from needle_backend.us.training.speckle import Display, PointSpread, amplitude, smooth_series
from needle_backend.us.training.sweep import Sweep
from needle_backend.us.training.truth import Contrasts, FrameTruth, draw_box, frame_truths

_TIP_FLICKER_DB = 2.5
_NEAR_TIP = 330
"""Points behind the tip that tell which tissue a needle lies in."""


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
    sweep = _draw_sweep(settings, scene, times_s, rng)
    if sweep is not None:
        shift = shift + sweep.slid_px
    moving = TissueMotion(settings.tissue, scene.probe, shift, times_s, rng)
    puncture, echo = None, None
    if rng.random() >= settings.sequence.needle_free_share:
        puncture = draw_puncture(
            settings.needle, settings.motion, scene.probe, scene.px_per_mm, shift, times_s, rng
        )
        look = draw_look(settings.needle, draw(rng, settings.motion.slice_mm), scene.px_per_mm, rng)
        look = _over_tissue(look, settings.needle, scene, puncture, rng.spawn(1)[0])
        echo = NeedleEcho(look, scene.probe, scene.spread, rng)
    frames, contrasts = _record(settings, scene, moving, sweep, puncture, echo, rng)
    box = draw_box(settings.sequence.size[0], rng)
    facts = {
        "seed": seed,
        "needle": puncture is not None,
        "probe": type(scene.probe).__name__,
        "px_per_mm": scene.px_per_mm,
        "range_db": scene.display.range_db,
    }
    truth = frame_truths(scene.probe, puncture, contrasts, box, settings.sequence)
    return SimulatedSequence(frames, settings.sequence.fps, truth, facts)


@dataclass(frozen=True)
class _Scene:
    probe: Probe
    spread: PointSpread
    display: Display
    tissue: Tissue
    px_per_mm: float
    real: bool


def _draw_scene(
    settings: SimulationSettings, background: np.ndarray | None, rng: np.random.Generator
) -> _Scene:
    look = settings.probe
    display = Display(draw(rng, look.dynamic_range_db))
    picture, blur = None, 1.0
    if background is None:
        probe = draw_probe(look, settings.sequence.size, rng)
    else:
        picture, probe, scale = _placed(settings, background, rng)
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
        if _chance(settings.background.drawn_share, rng):
            drawn = draw_lines(settings.tissue, probe, spread, display.range_db, rng)
            tissue = replace(tissue, steady=tissue.steady + drawn)
    curved = isinstance(probe, CurvedProbe)
    depth_mm = draw(rng, look.curved_depth_mm if curved else look.linear_depth_mm)
    return _Scene(probe, spread, display, tissue, probe.shape[0] / depth_mm, background is not None)


def _draw_sweep(
    settings: SimulationSettings, scene: _Scene, times_s: np.ndarray, rng: np.random.Generator
) -> Sweep | None:
    if not _chance(settings.sweep.share, rng):
        return None
    range_db = scene.display.range_db
    lines = draw_lines(settings.tissue, scene.probe, scene.spread, range_db, rng)
    return Sweep(settings.sweep, scene.probe, lines, times_s, rng)


def _placed(
    settings: SimulationSettings, background: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Probe, float]:
    """Return a real image in the picture, whole or recut, its probe and its enlargement."""
    size = settings.sequence.size
    if _chance(settings.background.recut_share, rng):
        parts = recut(background, size, settings.background, rng)
        if parts is not None:
            return parts.picture, draw_probe(settings.probe, size, rng), parts.scale
    return place(background, size, rng)


def _chance(share: float, rng: np.random.Generator) -> bool:
    """Return True in a share of the cases; draws nothing where there is no such share."""
    return share > 0 and rng.random() < share


def _over_tissue(
    look: NeedleLook,
    settings: NeedleSettings,
    scene: _Scene,
    puncture: Puncture,
    rng: np.random.Generator,
) -> NeedleLook:
    """Give some needles a brightness that is relative to the tissue around them."""
    if rng.random() >= settings.over_tissue_share:
        return look
    samples, beams = scene.probe.shape
    still = scene.tissue.seen(np.zeros((samples, beams, 2)), 0.0)
    deepest = max(puncture.poses, key=lambda pose: pose.travelled_px)
    shaft = deepest.xy[:_NEAR_TIP]
    beam, sample = np.rint(scene.probe.to_grid(shaft)).astype(int).T
    inside = (beam >= 0) & (beam < beams) & (sample >= 0) & (sample < samples)
    if not inside.any():
        return look
    around = np.linalg.norm(still[sample[inside], beam[inside]], axis=-1)
    tissue_db = 20 * np.log10(max(float(np.median(around)), 1e-4))
    back = shaft[-1] - shaft[0]
    normal = np.array([-back[1], back[0]]) / np.hypot(*back)
    tilt = np.degrees(np.arccos(np.abs(scene.probe.beam_direction(shaft) @ normal).clip(0, 1)))
    lost_db = float(np.median(look.angle_loss(tilt)))
    return replace(look, shaft_db=tissue_db + lost_db + draw(rng, settings.over_tissue_db))


def _record(
    settings: SimulationSettings,
    scene: _Scene,
    moving: TissueMotion,
    sweep: Sweep | None,
    puncture: Puncture | None,
    echo: NeedleEcho | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Contrasts]:
    """Return the frames, and how far the needle stands out in each."""
    count, fps = settings.sequence.frames, settings.sequence.fps
    probe = scene.probe
    gain = _draw_gain(settings, scene.real, rng)
    # A real image changes less: it is one cut through the tissue, and must stay that.
    change = draw(rng, settings.tissue.decorrelation) * (0.4 if scene.real else 1.0)
    turn = change * np.tanh(smooth_series(count, 0.4 * fps, rng))
    tip_db = _TIP_FLICKER_DB * smooth_series(count, 0.2 * fps, rng)
    scanner = Scanner.drawn(
        settings.probe, scene.display, scene.spread, probe.shape, fps, scene.real, rng
    )
    frames = np.empty((count, probe.size[1], probe.size[0]), np.uint8)
    contrasts = Contrasts.none(count)
    shown = None
    for frame in range(count):
        pose = puncture.poses[frame] if puncture is not None else None
        drag = puncture.drag[frame] if puncture is not None else 0.0
        moved = moving.at(frame, pose, drag)
        if sweep is None:
            tissue = scene.tissue.seen(moved, turn[frame])
        else:
            tissue = sweep.seen(scene.tissue, moved, turn[frame], frame)
        noise = scanner.fresh_noise(probe.shape, rng)
        seen = echo.seen(pose, tip_db[frame]) if echo is not None else None
        both = tissue if seen is None else seen.onto(tissue)
        # A real image has been compounded already: there it is only the needle's speckle.
        speckled = 0.0 if scene.real else 1.0
        if scene.real and seen is not None:
            speckled = seen.share(both)
        grey = scanner.grey(both + noise, gain[frame], speckled)
        if seen is not None:
            without = scanner.grey(tissue + noise, gain[frame])
            contrasts.measure(frame, probe, pose, without, grey)
        shown = scanner.shown(grey, probe, shown)
        frames[frame] = np.rint(shown)
    return frames, contrasts


def _draw_gain(settings: SimulationSettings, real: bool, rng: np.random.Generator) -> np.ndarray:
    """Return every frame's gain, as a factor of amplitude."""
    level_db = 0.0 if real else draw(rng, settings.probe.gain_db)
    flicker_db = draw(rng, settings.tissue.flicker_db)
    flicker_db = flicker_db * rng.standard_normal(settings.sequence.frames)
    return amplitude(level_db + flicker_db)
