"""How needle, probe and tissue move: the needle's path and its pose in every frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.probe import CurvedProbe, Probe
from needle_backend.us.training.settings import MotionSettings, NeedleSettings, TissueSettings
from needle_backend.us.training.speckle import smooth_noise, smooth_series

STEP_PX = 0.75
_LENGTH_PX = 900


@dataclass(frozen=True)
class Pose:
    """One frame's needle: points from the tip backwards, ``STEP_PX`` apart.

    Attributes
    ----------
    xy
        (n, 2) picture points of the axis.
    outside_mm
        (n,) distance of each from the imaging plane.
    travelled_px
        How far the tip has come along its path.
    """

    xy: np.ndarray
    outside_mm: np.ndarray
    travelled_px: float

    @property
    def tip(self) -> np.ndarray:
        """The tip, (x, y)."""
        return self.xy[0]


@dataclass(frozen=True)
class Puncture:
    """A needle's poses over a sequence."""

    poses: tuple[Pose, ...]
    shift: np.ndarray
    """(frames, 2) how far probe motion has shifted the picture, in pixels."""
    drag: np.ndarray
    """(frames,) how far the needle drags the tissue around it along, in pixels."""


def draw_shift(
    settings: TissueSettings, times_s: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw how the probe's slow motion shifts the picture, (frames, 2) px."""
    reach = draw(rng, settings.drift_px)
    both = [_over_time(times_s, rng.uniform(0.8, 2.5), rng) for _ in range(2)]
    return reach * np.stack(both, -1) * (1.0, 0.6)


def draw_puncture(
    needle: NeedleSettings,
    motion: MotionSettings,
    probe: Probe,
    px_per_mm: float,
    shift: np.ndarray,
    times_s: np.ndarray,
    rng: np.random.Generator,
) -> Puncture:
    """Draw where a needle goes in and how the hand moves it."""
    path = _draw_path(needle, probe, rng)
    advance = _advance_px(motion, px_per_mm, times_s, rng)
    # The deepest point of the path is where the tip is when it has come furthest.
    behind = advance.max() - advance
    slice_tilt = np.tan(np.radians(draw(rng, motion.tilt_deg))) * rng.choice((-1, 1))
    crossing_px = rng.uniform(-0.2, 0.5) * 300
    wander = draw(rng, motion.wander_mm) * _over_time(times_s, rng.uniform(0.5, 2.0), rng)
    tremor = 0.8 * np.stack([_over_time(times_s, 0.35, rng) for _ in range(2)], -1)
    along = np.arange(len(path)) * STEP_PX
    poses = []
    for frame in range(len(times_s)):
        # Over a long time the hand may go back further than the path is long: the needle is out.
        first = min(round(behind[frame] / STEP_PX), len(path) - 2)
        from_tip = along[first:] - along[first]
        outside = wander[frame] + slice_tilt * (from_tip - crossing_px) / px_per_mm
        poses.append(Pose(path[first:] + shift[frame] + tremor[frame], outside, advance[frame]))
    drag = draw(rng, motion.drag_px) * _dragged_along(advance, times_s)
    return Puncture(tuple(poses), shift, drag)


class TissueMotion:
    """Displacement of the tissue in every frame: shift, slow deformation, and the needle's drag."""

    _CELL = 8

    def __init__(
        self,
        settings: TissueSettings,
        probe: Probe,
        shift: np.ndarray,
        times_s: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self._probe, self._shift = probe, shift
        samples, beams = probe.shape
        coarse = (samples // self._CELL + 2, beams // self._CELL + 2)
        scale = (rng.uniform(18, 40), rng.uniform(18, 40))
        reach = draw(rng, settings.warp_px)
        self._fields = (
            0.7
            * reach
            * np.stack(
                [
                    np.stack([smooth_noise(coarse, scale, rng) for _ in range(2)], -1)
                    for _ in range(2)
                ]
            )
        )
        self._swing = np.stack([_over_time(times_s, rng.uniform(0.4, 1.5), rng) for _ in range(2)])
        beam, sample = np.meshgrid(
            np.linspace(0, beams - 1, coarse[1]), np.linspace(0, samples - 1, coarse[0])
        )
        self._xy = probe.to_picture(np.stack([beam, sample], -1))
        self._beam_px = float(probe.lateral_px().mean())

    def at(self, frame: int, pose: Pose | None, drag_px: float) -> np.ndarray:
        """Return displacements (samples, beams, 2) in beams and samples."""
        moved = np.tensordot(self._swing[:, frame], self._fields, 1) + self._shift[frame]
        if pose is not None and abs(drag_px) > 0.05:
            moved = moved + self._dragged(pose, drag_px)
        moved = moved / (self._beam_px, 1.0)
        samples, beams = self._probe.shape
        return cv2.resize(
            moved.astype(np.float32), (beams, samples), interpolation=cv2.INTER_LINEAR
        )

    def _dragged(self, pose: Pose, drag_px: float) -> np.ndarray:
        back = pose.xy[min(60, len(pose.xy) - 1)] - pose.tip
        direction = -back / max(float(np.hypot(*back)), 1e-6)
        away = self._xy - pose.tip
        along = away @ direction
        across = away @ np.array([-direction[1], direction[0]])
        near = np.exp(-((across / 40) ** 2)) / (1 + np.exp(np.clip(along / 14, -30, 30)))
        return drag_px * near[..., None] * direction


def _draw_path(needle: NeedleSettings, probe: Probe, rng: np.random.Generator) -> np.ndarray:
    """Return the path from its deepest point back to outside the picture, (n, 2)."""
    samples, beams = probe.shape
    target = np.array([rng.uniform(0.12, 0.88) * (beams - 1), rng.uniform(0.15, 0.85) * samples])
    deepest = probe.to_picture(target)
    # Beside a curved probe the skin is farther away, so one goes in more steeply.
    steeper = 12 if isinstance(probe, CurvedProbe) else 0
    angle = np.radians(min(draw(rng, needle.angle_deg) + steeper, 75))
    share = target[0] / (beams - 1)
    side = -1 if rng.random() < share else 1  # more often from the farther side
    back = np.array([side * np.cos(angle), -np.sin(angle)])
    along = np.arange(0, _LENGTH_PX, STEP_PX)
    bend = draw(rng, needle.bend_px) * rng.choice((-1, 1)) * (rng.random() < needle.bent_share)
    bow = bend * (along / 400) ** 2
    return deepest + along[:, None] * back + bow[:, None] * np.array([-back[1], back[0]])


def _advance_px(
    motion: MotionSettings, px_per_mm: float, times_s: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return how far the tip has come at each time: pushes and pauses, or a withdrawal."""
    ends, speeds, now = [0.0], [], 0.0
    pushing = rng.random() < 0.75
    sign = -1 if rng.random() < motion.withdrawal_share else 1
    while now <= times_s[-1]:
        length = rng.uniform(0.3, 1.6) if pushing else draw(rng, motion.pause_s)
        speeds.append(sign * draw(rng, motion.speed_mm_s) * px_per_mm if pushing else 0.0)
        now += length
        ends.append(now)
        if pushing and rng.random() < 0.15:
            sign = -sign
        pushing = not pushing
    fine = np.arange(0, now, 0.01)
    speed = np.array(speeds)[
        np.searchsorted(ends[1:], fine, side="right").clip(max=len(speeds) - 1)
    ]
    eased = np.convolve(np.pad(speed, 10, mode="edge"), np.ones(21) / 21, mode="valid")
    way = np.concatenate([[0.0], np.cumsum(eased) * 0.01])[: len(fine)]
    return np.interp(times_s, fine, way)


def _dragged_along(advance_px: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Return the share of its greatest displacement that the tissue at the tip has, -1..1.

    Tissue follows a moving needle and springs back within a third of a second.
    """
    if len(times_s) < 2:
        return np.zeros(len(times_s))
    step = times_s[1] - times_s[0]
    follow = 1 - np.exp(-step / 0.3)
    pull = np.tanh(np.gradient(advance_px, step) / 90)
    moved, share = 0.0, np.empty(len(pull))
    for frame, target in enumerate(pull):
        moved += follow * (target - moved)
        share[frame] = moved
    return share


def _over_time(times_s: np.ndarray, period_s: float, rng: np.random.Generator) -> np.ndarray:
    step = times_s[1] - times_s[0] if len(times_s) > 1 else 1.0
    return smooth_series(len(times_s), period_s / step, rng)
