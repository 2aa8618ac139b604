"""What a needle adds to the echoes: walls, bevel, reverberation, comet tails, side lobes, shadow.

Everything is scatterers on the probe's grid that go through the same point spread as tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.motion import STEP_PX, Pose
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.settings import NeedleSettings
from needle_backend.us.training.speckle import (
    PointSpread,
    amplitude,
    smooth_series,
    speckle,
)

_POINTS = 1300
_PAD = 24
_LOBE_WIDTHS = 8


@dataclass(frozen=True)
class NeedleLook:
    """One needle's appearance; arrays run along the shaft from the tip, ``STEP_PX`` a step."""

    radius_px: float
    slice_mm: float
    shaft_db: float
    angle_loss_db: float
    steering_deg: float
    far_wall_db: float
    body_db: float
    tip_db: float
    bevel_px: float
    bevel_up: bool
    echoes: np.ndarray
    """Amplitudes of the shaft's repetitions, one a reverberation."""
    gap_px: float
    grain: np.ndarray
    """(3, n, 2) complex reflectivity of the near wall, the far wall and what lies between."""
    dropout_db: np.ndarray
    """(3, n) their loss that belongs to the needle."""
    place_db: np.ndarray
    """(n,) loss that belongs to the place in the tissue, from the path's start."""
    comet: np.ndarray
    """(n,) amplitude of the tails under the shaft."""
    comet_px: np.ndarray
    """(n,) how far they reach."""
    shadow: float
    side_lobe: float


def draw_look(
    settings: NeedleSettings, slice_mm: float, px_per_mm: float, rng: np.random.Generator
) -> NeedleLook:
    """Draw a needle's appearance."""
    radius = 0.5 * draw(rng, settings.diameter_mm) * px_per_mm
    rough = draw(rng, settings.roughness)
    grain = np.stack([_grain(share, rng) for share in (rough, rough, 1.0)])
    if rng.random() < settings.bead_share:
        beads = amplitude(rng.uniform(4, 9) * np.stack([_along(3, rng) for _ in grain]))
        grain = grain * np.minimum(beads, 4)[..., None]
    count = int(rng.integers(2, 7)) if rng.random() < settings.reverberation_share else 0
    decay = draw(rng, settings.reverberation_decay)
    comet = np.zeros(_POINTS)
    if rng.random() < settings.comet_share:
        tails = np.maximum(_along(rng.uniform(20, 70), rng) - rng.uniform(-0.4, 0.8), 0)
        tails[: int(30 / STEP_PX)] += rng.uniform(0, 1.2)
        comet = float(amplitude(draw(rng, settings.comet_db))) * tails
    dropout = draw(rng, settings.dropout_db)
    bevel = 2 * radius / np.tan(np.radians(draw(rng, settings.bevel_deg)))
    return NeedleLook(
        radius_px=radius,
        slice_mm=slice_mm,
        shaft_db=draw(rng, settings.shaft_db),
        angle_loss_db=draw(rng, settings.angle_loss_db),
        steering_deg=draw(rng, settings.steering_deg),
        far_wall_db=draw(rng, settings.far_wall_db),
        body_db=draw(rng, settings.body_db),
        tip_db=draw(rng, settings.tip_db),
        bevel_px=float(np.clip(bevel, 5, 60)),
        bevel_up=bool(rng.random() < 0.6),
        echoes=decay ** np.arange(1, count + 1),
        gap_px=max(2 * radius * rng.uniform(0.8, 1.3), 4.0),
        grain=grain,
        dropout_db=np.stack([_dropout(dropout, rng) for _ in grain]),
        place_db=np.minimum(0, dropout * 0.5 * _along(70, rng)),
        comet=comet,
        comet_px=rng.uniform(20, 110) * np.exp(0.5 * _along(40, rng)),
        shadow=float(amplitude(-draw(rng, settings.shadow_db))),
        side_lobe=float(amplitude(draw(rng, settings.side_lobe_db))),
    )


@dataclass(frozen=True)
class Echo:
    """What a needle does to a part of the grid, from ``sample`` and ``beam`` on."""

    sample: int
    beam: int
    added: np.ndarray
    """(rows, columns, 2) echoes."""
    kept: np.ndarray
    """(rows, columns) factor of the tissue's echoes that still get through."""

    def onto(self, tissue: np.ndarray) -> np.ndarray:
        """Return tissue echoes (samples, beams, 2) with the needle's."""
        both = tissue.copy()
        part = both[self._where()]
        part *= cv2.merge((self.kept, self.kept))
        part += self.added
        return both

    def share(self, both: np.ndarray) -> np.ndarray:
        """Return how much of the echoes (samples, beams, 2) is the needle's, 0..1."""
        share = np.zeros(both.shape[:2], np.float32)
        power = _power(self.added)
        share[self._where()] = power / (power + _power(both[self._where()]) + np.float32(1e-12))
        return cv2.GaussianBlur(share, (0, 0), 1.5)

    def _where(self) -> tuple[slice, slice]:
        rows, columns = self.kept.shape
        return slice(self.sample, self.sample + rows), slice(self.beam, self.beam + columns)


class NeedleEcho:
    """Makes the echoes of one needle, frame by frame."""

    def __init__(
        self, look: NeedleLook, probe: Probe, spread: PointSpread, rng: np.random.Generator
    ) -> None:
        self._look, self._probe, self._spread = look, probe, spread
        # Tails are smeared over many echoes: speckle of less contrast than tissue.
        self._haze = 0.4 * speckle(probe.shape, spread, rng) + np.float32((0.85, 0))
        self._scatter = rng.uniform(-1, 1, _POINTS)
        self._jitter = rng.normal(0, 0.4, _POINTS) + 0.3 * _along(12, rng)
        self._tip_points = rng.uniform(0, 1, 5)
        self._tip_phase = rng.uniform(-0.9, 0.9, 5)

    def seen(self, pose: Pose, flicker_db: float = 0.0) -> Echo | None:
        """Return a frame's echo; None when the needle lies outside the grid."""
        look = self._look
        point, outside = pose.xy[: _POINTS - 1], pose.outside_mm[: _POINTS - 1]
        back = np.gradient(point, axis=0)
        back /= np.linalg.norm(back, axis=1, keepdims=True)
        beam = self._probe.beam_direction(point)
        normal = np.stack([-back[:, 1], back[:, 0]], -1)
        normal *= np.where((normal * beam).sum(1) > 0, -1, 1)[:, None]  # towards the transducer
        # The tip is the bevel's point, which lies on a wall, not on the axis.
        xy = point + (1 if look.bevel_up else -1) * look.radius_px * normal
        tilt = np.degrees(np.arccos(np.clip(-(normal * beam).sum(1), 0, 1)))
        in_plane = np.exp(-0.5 * (outside / look.slice_mm) ** 2)
        axis = self._probe.to_grid(xy)
        samples, beams = self._probe.shape
        near = (axis[:, 0] > -8) & (axis[:, 0] < beams + 8) & (axis[:, 1] > -8)
        near &= axis[:, 1] < samples + 8
        if not near.any() or float(in_plane[near].max()) < 0.02:
            return None
        pad = _PAD + int(3 * _LOBE_WIDTHS * self._spread.lateral.mean())
        scatterers = _Scatterers(self._probe.shape, axis[near], pad)
        self._shaft(scatterers, pose, xy, normal, beam, tilt, in_plane)
        self._tip(scatterers, xy, normal, tilt, in_plane, flicker_db)
        return self._through_the_probe(scatterers, axis, tilt, in_plane, near)

    def _shaft(self, scatterers, pose, xy, normal, beam, tilt, in_plane) -> None:
        look, count = self._look, len(xy)
        place = np.clip(
            (pose.travelled_px / STEP_PX - np.arange(count)).astype(int) % _POINTS, 0, _POINTS - 1
        )
        level = look.shaft_db - self._angle_loss(tilt) + look.place_db[place]
        strength = amplitude(level) * in_plane * self._line_gain(xy, tilt)
        short = int(look.bevel_px / STEP_PX)
        between = look.radius_px * self._scatter[:count]
        parts = (
            (0.0, look.radius_px),
            (look.far_wall_db, -look.radius_px),
            (look.body_db, between),
        )
        for wall, (level_db, side) in enumerate(parts):
            ends = short if wall < 2 and (wall == 0) == look.bevel_up else 0
            points = xy + (side + self._jitter[:count])[:, None] * normal
            echo = strength * amplitude(level_db + look.dropout_db[wall, :count])
            echo = echo[:, None] * look.grain[wall, :count]
            echo[:ends] = 0
            scatterers.add(self._probe.to_grid(points), echo)
            flat = np.cos(np.radians(np.minimum(1.6 * tilt, 90)))[:, None]
            for order, factor in enumerate(look.echoes if wall == 0 else (), start=1):
                deeper = points + order * look.gap_px * beam
                scatterers.add(self._probe.to_grid(deeper), echo * factor * flat)

    def _tip(self, scatterers, xy, normal, tilt, in_plane, flicker_db) -> None:
        """Add the bevel's face, a line across the lumen that ends in the point, and spots on it."""
        look = self._look
        count = min(int(look.bevel_px / STEP_PX) + 2, len(xy))
        part = np.linspace(0, 1, count)[:, None]
        side = -1 if look.bevel_up else 1
        face = xy[:count] + side * look.radius_px * normal[:count] * (1 - 2 * part)
        level = look.shaft_db + look.tip_db + flicker_db - 0.35 * self._angle_loss(tilt[:count])
        strength = amplitude(level) * in_plane[:count]
        line = 0.5 * strength * self._line_gain(xy[:count], tilt[:count])
        scatterers.add(self._probe.to_grid(face), line[:, None] * look.grain[1, :count])
        spot = (self._tip_points**2 * (count - 1)).astype(int)
        gain = 2 * np.pi * self._spread.axial * self._lateral(face[spot])
        phase = np.stack([np.cos(self._tip_phase), np.sin(self._tip_phase)], -1)
        echo = (strength[spot] * gain / len(spot))[:, None] * phase * 1.5
        scatterers.add(self._probe.to_grid(face[spot]), echo)

    def _angle_loss(self, tilt: np.ndarray) -> np.ndarray:
        beyond = np.maximum(tilt - self._look.steering_deg, 0)
        return self._look.angle_loss_db * (beyond / 45) ** 1.3

    def _lateral(self, xy: np.ndarray) -> np.ndarray:
        return self._spread.lateral_at(self._probe.to_grid(xy)[:, 1])

    def _line_gain(self, xy: np.ndarray, tilt: np.ndarray) -> np.ndarray:
        """Return what a point of a line must carry for the line's peak to be 1."""
        lateral_px = self._lateral(xy) * np.interp(
            self._probe.to_grid(xy)[:, 1],
            np.arange(self._probe.shape[0]),
            self._probe.lateral_px(),
        )
        angle = np.radians(tilt)
        across = np.hypot(self._spread.axial * np.cos(angle), lateral_px * np.sin(angle))
        beam_px = lateral_px / self._lateral(xy)
        return np.sqrt(2 * np.pi) * across * STEP_PX / beam_px

    def _through_the_probe(self, scatterers, axis, tilt, in_plane, near) -> Echo:
        top, left = scatterers.top, scatterers.left
        added = self._spread.apply(scatterers.grid(), top)
        if self._look.side_lobe > 0.005:
            wide = _LOBE_WIDTHS * float(self._spread.lateral.mean())
            lobes = cv2.GaussianBlur(added, (0, 0), sigmaX=wide, sigmaY=0.4)
            added += _LOBE_WIDTHS * self._look.side_lobe * lobes
        rows, columns = self._probe.shape[0] - top, added.shape[1]
        full = np.zeros((rows, columns, 2), np.float32)
        full[: len(added)] = added[:rows]
        order = np.argsort(axis[near, 0])
        beams = np.arange(left, left + columns)
        there = axis[near][order]
        line = np.interp(beams, there[:, 0], there[:, 1])
        seen = np.interp(beams, there[:, 0], in_plane[near][order], left=0, right=0)
        seen = np.convolve(np.pad(seen, 3, mode="edge"), np.ones(7) / 7, mode="valid")
        below = (np.arange(top, top + rows)[:, None] - line).astype(np.float32)
        under = _step(below)
        kept = 1 - under * ((1 - self._look.shadow) * seen).astype(np.float32)
        if self._look.comet.any():
            glow = self._look.comet[: len(near)] * amplitude(-0.5 * self._angle_loss(tilt))
            tails = np.interp(beams, there[:, 0], glow[near][order], left=0, right=0)
            tails = cv2.GaussianBlur(tails[None], (0, 0), 9).ravel()
            reach = np.interp(beams, there[:, 0], self._look.comet_px[: len(near)][near][order])
            fading = cv2.exp(-np.maximum(below, 0) / reach.astype(np.float32))
            level = under * fading * (tails * seen).astype(np.float32)
            full += cv2.merge((level, level)) * self._haze[top:, left : left + columns]
        return Echo(top, left, full, kept)


class _Scatterers:
    """Complex scatterers collected on the part of the grid that a needle reaches."""

    def __init__(self, shape: tuple[int, int], axis: np.ndarray, pad: int) -> None:
        samples, beams = shape
        low, high = axis.min(0), axis.max(0)
        self.left = int(np.clip(low[0] - pad, 0, beams - 1))
        self.top = int(np.clip(low[1] - _PAD, 0, samples - 1))
        right = int(np.clip(high[0] + pad, self.left + 1, beams))
        bottom = int(np.clip(high[1] + 2 * _PAD, self.top + 1, samples))
        self._shape = bottom - self.top, right - self.left
        self._points: list[np.ndarray] = []
        self._echoes: list[np.ndarray] = []

    def add(self, points: np.ndarray, echoes: np.ndarray) -> None:
        """Put echoes (n, 2) at grid points (n, 2)."""
        self._points.append(points)
        self._echoes.append(echoes)

    def grid(self) -> np.ndarray:
        """Return the part of the grid, every echo shared out among the four places around it."""
        rows, columns = self._shape
        place = np.concatenate(self._points) - (self.left, self.top)
        echoes = np.concatenate(self._echoes)
        inside = (place >= 0).all(1) & (place < (columns - 1, rows - 1)).all(1)
        place, echoes = place[inside], echoes[inside]
        corner = place.astype(int)
        right, down = (place - corner).T
        first = corner[:, 1] * columns + corner[:, 0]
        where = np.concatenate([first, first + 1, first + columns, first + columns + 1])
        weight = np.concatenate(
            [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
        )
        channels = [
            np.bincount(where, weight * np.tile(echo, 4), rows * columns).astype(np.float32)
            for echo in echoes.T
        ]
        return np.stack(channels, -1).reshape(rows, columns, 2)


def _step(samples: np.ndarray) -> np.ndarray:
    """Return 0 above and 1 below, soft over a few samples."""
    return np.clip(0.5 + samples / 8, 0, 1)


def _power(echoes: np.ndarray) -> np.ndarray:
    return echoes[..., 0] ** 2 + echoes[..., 1] ** 2


def _along(correlation_px: float, rng: np.random.Generator) -> np.ndarray:
    return smooth_series(_POINTS, correlation_px / STEP_PX, rng)


def _dropout(depth_db: float, rng: np.random.Generator) -> np.ndarray:
    return np.minimum(0, depth_db * (0.4 * _along(60, rng) + 0.25 * _along(15, rng) - 0.1))


def _grain(rough: float, rng: np.random.Generator) -> np.ndarray:
    """Return a wall's complex reflectivity: a steady part and a rough one."""
    phase = 0.6 * _along(40, rng)
    steady = np.stack([np.cos(phase), np.sin(phase)], -1)
    noise = np.stack([0.7 * _along(9, rng) + 0.7 * _along(2.5, rng) for _ in range(2)], -1)
    return (1 - rough) * steady + rough * noise
