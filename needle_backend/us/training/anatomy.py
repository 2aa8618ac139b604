"""Procedural tissue: levels and bright reflectors on the probe's grid, made into echoes once.

A sequence's tissue is one larger field of complex echoes that every frame looks at through a warp;
that is what makes frames cheap and speckle move with the tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw_int
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.settings import TissueSettings
from needle_backend.us.training.speckle import (
    PointSpread,
    amplitude,
    smooth_noise,
    smooth_series,
    speckle,
)

MARGIN = 24
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True)
class Tissue:
    """Echoes of a sequence's tissue, as real and imaginary channels, with a margin all around.

    ``steady`` is what stays; ``passing`` replaces it bit by bit as the plane wanders.
    """

    steady: np.ndarray
    passing: np.ndarray
    margin: int

    def seen(self, displacement: np.ndarray, turn: float) -> np.ndarray:
        """Return one frame's echoes (samples, beams, 2).

        Parameters
        ----------
        displacement
            (samples, beams, 2): how far the tissue has moved, in beams and samples.
        turn
            Angle that mixes the passing echoes into the steady ones, radians.
        """
        echoes = self.steady * np.float32(np.cos(turn)) + self.passing * np.float32(np.sin(turn))
        samples, beams = displacement.shape[:2]
        beam = np.arange(beams, dtype=np.float32)[None] + (self.margin - displacement[..., 0])
        sample = np.arange(samples, dtype=np.float32)[:, None] + (
            self.margin - displacement[..., 1]
        )
        return cv2.remap(
            echoes,
            beam.astype(np.float32),
            sample.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )


def draw_tissue(
    settings: TissueSettings,
    probe: Probe,
    spread: PointSpread,
    range_db: float,
    rng: np.random.Generator,
) -> Tissue:
    """Draw a patient's tissue as seen by a probe."""
    sketch = _Sketch(probe, range_db, rng)
    # A stream of its own: tissue that is no phantom stays the same.
    if rng.spawn(1)[0].random() < settings.phantom_share:
        sketch.phantom()
    else:
        sketch.body(settings)
    sketch.skin()
    sketch.uneven_beams()
    if rng.random() < settings.contact_loss_share:
        sketch.contact_loss()
    return sketch.tissue(spread)


def draw_lines(
    settings: TissueSettings,
    probe: Probe,
    spread: PointSpread,
    range_db: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw streaks and sheets alone, as echoes (samples, beams, 2) to be added to tissue."""
    sketch = _Sketch(probe, range_db, rng)
    sketch.streaks(draw_int(rng, settings.streaks))
    sketch.fascia(draw_int(rng, settings.fascia))
    return sketch.line_echoes(spread)[MARGIN:-MARGIN, MARGIN:-MARGIN]


class _Sketch:
    """Levels (dB) and reflectors (amplitudes a line) being drawn, later made into echoes."""

    def __init__(self, probe: Probe, range_db: float, rng: np.random.Generator) -> None:
        samples, beams = probe.shape
        self.shape = shape = (samples + 2 * MARGIN, beams + 2 * MARGIN)
        self.beam_px = float(probe.lateral_px().mean())
        self.range_db, self.rng = range_db, rng
        self.level = np.full(shape, -rng.uniform(0.66, 0.86) * range_db, np.float32)
        self.lines = np.zeros(shape, np.float32)
        self.slope = rng.normal(0, 0.08)
        self.patchy = rng.uniform(5, 11)

    def body(self, settings: TissueSettings) -> None:
        """Draw layers with all that runs through them."""
        self.layers(draw_int(self.rng, settings.layers))
        self.streaks(draw_int(self.rng, settings.streaks))
        self.fascia(draw_int(self.rng, settings.fascia))
        for _ in range(draw_int(self.rng, settings.vessels)):
            self.vessel()
        if self.rng.random() < settings.bone_share:
            self.bone()

    def phantom(self) -> None:
        """Draw even material, cloudy at most, with a few tubes or the bottom of the vat."""
        self.level += self.rng.uniform(-0.08, 0.3) * self.range_db
        rows, beams = self.shape
        cloud = smooth_noise(self.shape, (rows / 3, beams / 3), self.rng)
        depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        self.level += self.rng.uniform(0, 3) * cloud - self.rng.uniform(0, 14) * depth
        for _ in range(draw_int(self.rng, (0, 2))):
            self.vessel()
        if self.rng.random() < 0.3:
            self.bone()

    def layers(self, count: int) -> None:
        """Stack layers of unlike brightness and grain, a bright sheet between each two."""
        rows, beams = self.shape
        depth = np.arange(rows, dtype=np.float32)[:, None]
        edges = np.sort(self.rng.uniform(0.06, 0.95, count)) * rows
        for edge in edges:
            wave = self._wave(edge, self.rng.uniform(2, 10), self.rng.uniform(60, 250))
            below = 1 / (1 + np.exp(-(depth - wave) / 2))
            grain = smooth_noise(
                self.shape, (self.rng.uniform(5, 25), self.rng.uniform(10, 70)), self.rng
            )
            step = self.rng.normal(0, 4) + grain * self.rng.uniform(0.5, 3)
            self.level += below * step.astype(np.float32)
            if self.rng.random() < 0.7:
                self._line(np.arange(beams), wave, self.rng.uniform(-30, -9))
        self.level -= self.rng.uniform(0, 12) * (depth / rows) ** 1.5
        coarse = smooth_noise(self.shape, (rows / 4, beams / 3), self.rng)
        self.level += self.rng.uniform(0.5, 3) * coarse

    def streaks(self, count: int) -> None:
        """Draw short septa and fascicles, of one direction within a region."""
        rows, beams = self.shape
        lean = smooth_noise(self.shape, (rows / 2, beams), self.rng) * 0.12 + self.rng.normal(
            0, 0.15
        )
        strength = self.rng.uniform(-38, -20)
        for _ in range(count):
            row, beam = self.rng.uniform(0, rows), self.rng.uniform(0, beams)
            length = self.rng.gamma(2, 18) / self.beam_px
            slope = float(lean[int(row), int(beam)]) + self.rng.normal(0, 0.05)
            across = np.arange(beam - length, beam + length)
            bow = self.rng.normal(0, 1.5) * ((across - beam) / max(length, 1)) ** 2
            down = row + slope * (across - beam) * self.beam_px + bow
            self._line(across, down, strength + self.rng.normal(0, 5))

    def fascia(self, count: int) -> None:
        """Draw long bright sheets, some straight and tilted as a needle is."""
        rows, beams = self.shape
        for _ in range(count):
            row = rows * self.rng.beta(1.2, 1.6)
            beam = self.rng.uniform(0, beams)
            length = self.rng.gamma(2.5, 30) / self.beam_px
            straight = self.rng.random() < 0.15
            slope = self.rng.uniform(-0.7, 0.7) if straight else self.rng.normal(self.slope, 0.12)
            across = np.arange(beam - length, beam + length)
            wave = smooth_series(len(across), self.rng.uniform(25, 80) / self.beam_px, self.rng)
            down = row + slope * (across - beam) * self.beam_px
            down += wave * (0.5 if straight else self.rng.uniform(1, 5))
            level = self.rng.uniform(-34, -9) - 12 * abs(slope)
            self._line(across, down, level)
            for _ in range(int(self.rng.integers(0, 3))):
                down = down + self.rng.uniform(1, 6)
                level -= self.rng.uniform(0, 6)
                self._line(across, down, level)

    def vessel(self) -> None:
        """Draw an echo-free lumen with bright walls and enhancement behind it."""
        rows, beams = self.shape
        beam, row = self.rng.uniform(0, beams), rows * self.rng.uniform(0.12, 0.85)
        high = self.rng.uniform(8, 45)
        wide = high * self.rng.uniform(0.9, 2.2) / self.beam_px
        y, x = np.ogrid[:rows, :beams]
        reach = np.sqrt(((x - beam) / wide) ** 2 + ((y - row) / high) ** 2)
        # Seen from a narrow lumen the far side is so far away that the exponential would overflow.
        inside = 1 / (1 + np.exp(np.minimum((reach - 1) * min(high, 14), _LARGEST_EXPONENT)))
        behind = np.exp(-(((x - beam) / (0.75 * wide)) ** 2) * 2) * (y > row)
        fade = np.exp(-np.maximum(y - row - high, 0) / (2.5 * high))
        self.level += self.rng.uniform(1, 5) * behind * fade
        self.level -= self.rng.uniform(12, 30) * inside
        self.lines *= 1 - inside
        arc = np.linspace(-0.9, 0.9, 80)
        for side in (-1, 1):
            across = beam + wide * np.sin(arc)
            down = row + side * high * np.cos(arc)
            level = self.rng.uniform(-26, -10)
            self._line(across, down, level, fade=np.cos(arc * 1.6))

    def bone(self) -> None:
        """Draw a bright interface with shadow and a weak repetition below."""
        rows, beams = self.shape
        depth = np.arange(rows, dtype=np.float32)[:, None]
        first, last = np.sort(self.rng.uniform(-0.4, 1.4, 2)) * beams
        across = np.arange(beams)
        surface = self._wave(
            rows * self.rng.uniform(0.45, 0.9), self.rng.uniform(3, 16), self.rng.uniform(60, 160)
        )
        surface = surface + self.rng.uniform(-0.35, 0.35) * (across - beams / 2) * self.beam_px
        inside = 1 / (1 + np.exp(-(across - first) / 4)) / (1 + np.exp((across - last) / 4))
        below = np.clip((depth - surface) / 6, 0, 1) * inside
        self.level -= below * self.rng.uniform(12, 30)
        self.lines *= 1 - below
        level = self.rng.uniform(-16, -2)
        for thickness in range(draw_int(self.rng, (1, 4))):
            self._line(across, surface + thickness, level - 2 * thickness, fade=inside)

    def skin(self) -> None:
        """Draw the bright lines of the transducer's surface."""
        beams = np.arange(self.shape[1])
        row, level = MARGIN + self.rng.uniform(0, 5), self.rng.uniform(-22, -4)
        for _ in range(draw_int(self.rng, (1, 5))):
            self._line(beams, self._wave(row, 0.5, 200), level)
            row += self.rng.uniform(3, 9)
            level -= self.rng.uniform(2, 7)

    def uneven_beams(self) -> None:
        """Let beams lose unlike amounts on their way."""
        rows, beams = self.shape
        depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        loss = smooth_series(beams, self.rng.uniform(8, 40) / self.beam_px, self.rng)
        self._attenuate(self.rng.uniform(0, 4) * loss * depth)

    def contact_loss(self) -> None:
        """Darken one side, where the probe has left the skin."""
        beams = np.arange(self.shape[1])
        edge = self.rng.uniform(0.05, 0.25) * self.shape[1]
        away = beams if self.rng.random() < 0.5 else self.shape[1] - beams
        ragged = edge + 6 * smooth_noise(self.shape, (60, 1e4), self.rng)
        dark = self.rng.uniform(15, 35) / (1 + np.exp((away - ragged) / 3))
        self._attenuate(-dark)

    def tissue(self, spread: PointSpread) -> Tissue:
        """Send the sketch through the point spread."""
        rows = self.shape[0]
        strength = amplitude(self.level).astype(np.float32)[..., None]
        gain = spread.speckle_gain(rows, -MARGIN)
        white = self.rng.standard_normal((*self.shape, 2), dtype=np.float32)
        scatterers = white * strength * gain + self._line_scatterers(spread)
        steady = spread.apply(scatterers, -MARGIN)
        passing = speckle(self.shape, spread, self.rng, MARGIN) * strength
        return Tissue(steady, passing, MARGIN)

    def line_echoes(self, spread: PointSpread) -> np.ndarray:
        """Send the lines alone through the point spread."""
        return spread.apply(self._line_scatterers(spread), -MARGIN)

    def _line_scatterers(self, spread: PointSpread) -> np.ndarray:
        angle = 1.2 * smooth_noise(self.shape, (8, 24), self.rng)
        lines = np.stack([np.cos(angle), np.sin(angle)], -1) * self.lines[..., None]
        # A line's peak behind the point spread is 1 / (sqrt(2 pi) axial width).
        lines *= np.float32(np.sqrt(2 * np.pi) * spread.axial)
        grainy = 0.8 + 0.7 * self.rng.standard_normal(self.shape, dtype=np.float32)[..., None]
        return lines * grainy

    def _wave(self, row: float, height: float, length_px: float) -> np.ndarray:
        beams = self.shape[1]
        wave = smooth_series(beams, length_px / self.beam_px, self.rng) * height
        return row + wave + self.slope * (np.arange(beams) - beams / 2) * self.beam_px

    def _attenuate(self, gain_db: np.ndarray) -> None:
        self.level += gain_db.astype(np.float32)
        self.lines *= amplitude(gain_db).astype(np.float32)

    def _line(
        self,
        across: np.ndarray,
        down: np.ndarray,
        level_db: float,
        fade: np.ndarray | float = 1.0,
    ) -> None:
        """Add a reflector whose brightness comes and goes along it."""
        fine = smooth_series(len(across), max(9 / self.beam_px, 2), self.rng)
        wander = self.patchy * smooth_series(len(across), max(45 / self.beam_px, 2), self.rng)
        wander = np.minimum(wander + 0.4 * self.patchy * fine, 5)
        count = len(across)
        to_end = np.minimum(np.arange(1, count + 1), np.arange(count, 0, -1))
        taper = np.minimum(1, to_end / (0.3 * count))
        strength = amplitude(level_db + wander) * taper * fade
        beam, row = np.rint(across).astype(int), np.floor(down).astype(int)
        part = down - row
        rows, beams = self.shape
        for offset, weight in ((0, 1 - part), (1, part)):
            inside = (beam >= 0) & (beam < beams) & (row + offset >= 0) & (row + offset < rows)
            place = (row[inside] + offset, beam[inside])
            self.lines[place] = np.maximum(self.lines[place], (strength * weight)[inside])
