"""What a needle adds to the echoes: walls, bevel, reverberation, comet tails, side lobes, shadow.

Everything is scatterers on the probe's grid that go through the same point spread as tissue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from needle_backend.us.training.motion import STEP_PX, Pose
from needle_backend.us.training.needle_look import POINTS, NeedleLook, along_shaft
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.speckle import PointSpread, amplitude, speckle

_PAD = 24
_LOBE_WIDTHS = 8
_TIP_SPOTS = 5
_LEAST_IN_PLANE = 0.02


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
        self._look, self._probe = look, probe
        self._spread = replace(spread, lateral=spread.lateral * look.bloom)
        # Tails are smeared over many echoes: speckle of less contrast than tissue.
        self._haze = 0.4 * speckle(probe.shape, spread, rng) + np.float32((0.85, 0))
        self._between = rng.uniform(-1, 1, POINTS) * look.radius_px
        self._jitter = rng.normal(0, 0.4, POINTS) + 0.3 * along_shaft(12, rng)
        self._spots = rng.uniform(0, 1, _TIP_SPOTS) ** 2
        phase = rng.uniform(-0.9, 0.9, _TIP_SPOTS)
        self._spot_phase = np.stack([np.cos(phase), np.sin(phase)], -1)

    def seen(self, pose: Pose, flicker_db: float = 0.0) -> Echo | None:
        """Return a frame's echo; None when the needle lies outside the grid or the plane."""
        lie = _Lie.of(pose, self._look, self._probe)
        if float(lie.in_plane[lie.near].max(initial=0)) < _LEAST_IN_PLANE:
            return None
        pad = _PAD + int(3 * _LOBE_WIDTHS * self._spread.lateral.mean())
        scatterers = _Scatterers(self._probe.shape, lie.grid[lie.near], pad)
        self._add_shaft(scatterers, lie, pose.travelled_px)
        self._add_tip(scatterers, lie, flicker_db)
        below = _Below.of(lie, self._probe.shape[0], scatterers, self._look.edge_beams)
        added = np.zeros((*below.samples.shape, 2), np.float32)
        blurred = self._blurred(scatterers)
        added[: len(blurred)] = blurred
        self._add_tails(added, lie, below, scatterers)
        kept = 1 - below.under * ((1 - self._look.shadow) * below.in_plane).astype(np.float32)
        return Echo(scatterers.top, scatterers.left, added, kept)

    def _add_shaft(self, scatterers: _Scatterers, lie: _Lie, travelled_px: float) -> None:
        """Add both walls, what lies between, and the near wall's repetitions."""
        look, count = self._look, len(lie.axis)
        place = (travelled_px / STEP_PX - np.arange(count)).astype(int) % POINTS
        level = look.shaft_db - look.angle_loss(lie.tilt_deg) + look.place_db[place]
        strength = amplitude(level) * lie.in_plane * self._line_gain(lie, count)
        parts = (
            (0.0, look.radius_px, look.bevel_up),
            (look.far_wall_db, -look.radius_px, not look.bevel_up),
            (look.body_db, self._between[:count], False),
        )
        for part, (level_db, side, cut) in enumerate(parts):
            points = lie.axis + (side + self._jitter[:count])[:, None] * lie.normal
            echo = strength * amplitude(level_db + look.dropout_db[part, :count])
            echo = echo[:, None] * look.grain[part, :count]
            echo[: int(look.bevel_px / STEP_PX) if cut else 0] = 0
            scatterers.add(self._probe.to_grid(points), echo)
            if part == 0:
                self._add_repetitions(scatterers, lie, points, echo)

    def _add_repetitions(
        self, scatterers: _Scatterers, lie: _Lie, points: np.ndarray, echo: np.ndarray
    ) -> None:
        """Repeat a wall deeper and fainter, the less so the more the beam misses its normal."""
        flat = np.cos(np.radians(np.minimum(1.6 * lie.tilt_deg, 90)))[:, None]
        for order, factor in enumerate(self._look.echoes, start=1):
            deeper = points + order * self._look.gap_px * lie.beam
            scatterers.add(self._probe.to_grid(deeper), echo * factor * flat)

    def _add_tip(self, scatterers: _Scatterers, lie: _Lie, flicker_db: float) -> None:
        """Add the bevel's face, a line across the lumen that ends in the point, and spots on it."""
        look = self._look
        count = min(int(look.bevel_px / STEP_PX) + 2, len(lie.axis))
        across = np.linspace(1, -1, count)[:, None] * (-1 if look.bevel_up else 1)
        face = lie.axis[:count] + across * look.radius_px * lie.normal[:count]
        loss = 0.35 * look.angle_loss(lie.tilt_deg[:count])
        strength = amplitude(look.shaft_db + look.tip_db + flicker_db - loss) * lie.in_plane[:count]
        line = 0.5 * strength * self._line_gain(lie, count)
        scatterers.add(self._probe.to_grid(face), line[:, None] * look.grain[1, :count])
        spot = (self._spots * (count - 1)).astype(int)
        place = self._probe.to_grid(face[spot])
        gain = 2 * np.pi * self._spread.axial * self._spread.lateral_at(place[:, 1])
        scatterers.add(
            place, (1.5 / _TIP_SPOTS * strength[spot] * gain)[:, None] * self._spot_phase
        )

    def _line_gain(self, lie: _Lie, count: int) -> np.ndarray:
        """Return what the first points of a line must carry for the line's peak to be 1."""
        sample = lie.grid[:count, 1]
        lateral = self._spread.lateral_at(sample)
        beam_px = np.interp(sample, np.arange(self._probe.shape[0]), self._probe.lateral_px())
        angle = np.radians(lie.tilt_deg[:count])
        width = np.hypot(self._spread.axial * np.cos(angle), lateral * beam_px * np.sin(angle))
        return np.sqrt(2 * np.pi) * width * STEP_PX / beam_px

    def _blurred(self, scatterers: _Scatterers) -> np.ndarray:
        """Send scatterers through the point spread with its side lobes."""
        echoes = self._spread.apply(scatterers.grid(), scatterers.top)
        wide = _LOBE_WIDTHS * float(self._spread.lateral.mean()) / self._look.bloom
        lobes = cv2.GaussianBlur(echoes, (0, 0), sigmaX=wide, sigmaY=0.4)
        return echoes + np.float32(_LOBE_WIDTHS * self._look.side_lobe) * lobes

    def _add_tails(
        self, added: np.ndarray, lie: _Lie, below: _Below, scatterers: _Scatterers
    ) -> None:
        """Add the haze that bright places of the needle trail behind them."""
        if not self._look.tails.any():
            return
        count = len(lie.axis)
        glow = self._look.tails[:count] * amplitude(-0.5 * self._look.angle_loss(lie.tilt_deg))
        tails = cv2.GaussianBlur(below.of_beams(glow)[None], (0, 0), 9).ravel()
        reach = below.of_beams(self._look.tails_px[:count], outside=1.0).astype(np.float32)
        fading = cv2.exp(-np.maximum(below.samples, 0) / reach)
        level = below.under * fading * (tails * below.in_plane).astype(np.float32)
        rows, columns = level.shape
        haze = self._haze[scatterers.top :, scatterers.left : scatterers.left + columns]
        added += cv2.merge((level, level)) * haze[:rows]


@dataclass(frozen=True)
class _Lie:
    """How a needle lies to the beams in one frame, point by point from the tip."""

    axis: np.ndarray
    grid: np.ndarray
    normal: np.ndarray
    """Towards the transducer."""
    beam: np.ndarray
    tilt_deg: np.ndarray
    """By how much the beam misses the normal."""
    in_plane: np.ndarray
    """Amplitude that the beam's thickness leaves."""
    near: np.ndarray
    """Which points lie on the grid or almost."""

    @classmethod
    def of(cls, pose: Pose, look: NeedleLook, probe: Probe) -> _Lie:
        point, outside_mm = pose.xy[: POINTS - 1], pose.outside_mm[: POINTS - 1]
        back = np.gradient(point, axis=0)
        back /= np.linalg.norm(back, axis=1, keepdims=True)
        beam = probe.beam_direction(point)
        normal = np.stack([-back[:, 1], back[:, 0]], -1)
        normal *= np.where((normal * beam).sum(1) > 0, -1, 1)[:, None]
        # The tip is the bevel's point, which lies on a wall, not on the axis.
        axis = point + (1 if look.bevel_up else -1) * look.radius_px * normal
        grid = probe.to_grid(axis)
        samples, beams = probe.shape
        return cls(
            axis=axis,
            grid=grid,
            normal=normal,
            beam=beam,
            tilt_deg=np.degrees(np.arccos(np.clip(-(normal * beam).sum(1), 0, 1))),
            in_plane=np.exp(-0.5 * (outside_mm / look.slice_mm) ** 2),
            near=((grid > -8) & (grid < (beams + 8, samples + 8))).all(1),
        )


class _Scatterers:
    """Complex scatterers collected on the part of the grid that a needle reaches."""

    def __init__(self, shape: tuple[int, int], axis: np.ndarray, pad: int) -> None:
        samples, beams = shape
        low, high = axis.min(0), axis.max(0)
        self.left = int(np.clip(low[0] - pad, 0, beams - 1))
        self.top = int(np.clip(low[1] - _PAD, 0, samples - 1))
        right = int(np.clip(high[0] + pad, self.left + 1, beams))
        bottom = int(np.clip(high[1] + 2 * _PAD, self.top + 1, samples))
        self.shape = bottom - self.top, right - self.left
        self._points: list[np.ndarray] = []
        self._echoes: list[np.ndarray] = []

    def add(self, points: np.ndarray, echoes: np.ndarray) -> None:
        """Put echoes (n, 2) at grid points (n, 2)."""
        self._points.append(points)
        self._echoes.append(echoes)

    def grid(self) -> np.ndarray:
        """Return the part of the grid, every echo shared out among the four places around it."""
        rows, columns = self.shape
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


@dataclass(frozen=True)
class _Below:
    """What lies below a needle, beam by beam, on the grid from the scatterers' corner down."""

    beams: np.ndarray
    there: np.ndarray
    """Beams of the needle's points, ascending."""
    order: np.ndarray
    """The points in that order."""
    samples: np.ndarray
    """(rows, columns) how far below the needle, negative above it."""
    in_plane: np.ndarray
    """(columns,) the needle's, 0 where it does not cross the beam."""

    @classmethod
    def of(cls, lie: _Lie, samples: int, scatterers: _Scatterers, edge: int) -> _Below:
        beams = np.arange(scatterers.left, scatterers.left + scatterers.shape[1])
        near = np.flatnonzero(lie.near)
        order = near[np.argsort(lie.grid[near, 0], kind="stable")]
        there = lie.grid[order, 0]
        line = np.interp(beams, there, lie.grid[order, 1])
        seen = np.interp(beams, there, lie.in_plane[order], left=0, right=0)
        return cls(
            beams=beams,
            there=there,
            order=order,
            samples=(np.arange(scatterers.top, samples)[:, None] - line).astype(np.float32),
            in_plane=np.convolve(
                np.pad(seen, edge // 2, mode="edge"), np.ones(edge) / edge, mode="valid"
            ),
        )

    @property
    def under(self) -> np.ndarray:
        """0 above and 1 below the needle, soft over a few samples."""
        return np.clip(0.5 + self.samples / 8, 0, 1)

    def of_beams(self, along: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """Give the beams that the needle crosses the values of its points."""
        return np.interp(self.beams, self.there, along[self.order], left=outside, right=outside)


def _power(echoes: np.ndarray) -> np.ndarray:
    return echoes[..., 0] ** 2 + echoes[..., 1] ** 2
