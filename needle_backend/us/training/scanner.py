"""The scanner behind the probe: noise, gain, compounding, compression, smoothing, persistence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.settings import ProbeSettings
from needle_backend.us.training.speckle import Display, PointSpread, amplitude, speckle

_PERSISTENCE_FPS = 30.0
_NOISE_ROOM = 64


@dataclass(frozen=True)
class Scanner:
    """One machine's settings; ``persistence`` is what a frame keeps of the one before."""

    display: Display
    smoothing_px: float
    persistence: float
    compounding: float
    noise: np.ndarray
    """(samples, beams, 2) electronic noise, larger than the grid; a frame takes a part of it."""

    @classmethod
    def drawn(
        cls,
        settings: ProbeSettings,
        display: Display,
        spread: PointSpread,
        shape: tuple[int, int],
        fps: float,
        real: bool,
        rng: np.random.Generator,
    ) -> Scanner:
        """Draw a scanner; ``real`` when a recorded image is the tissue."""
        smoothing = draw(rng, settings.smoothing_px)
        persistence = draw(rng, settings.persistence) ** (_PERSISTENCE_FPS / fps)
        # A real image holds its own noise already; only what changes from frame to frame is added.
        noise_share = draw(rng, settings.noise_share) + (0.3 if real else 0)
        compounding = draw(rng, settings.compounding)
        samples, beams = shape
        noise = speckle((samples + _NOISE_ROOM, beams + _NOISE_ROOM), spread, rng)
        noise *= np.float32(amplitude(-display.range_db * noise_share))
        return cls(display, smoothing, persistence, compounding, noise)

    def fresh_noise(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Return a frame's noise, (samples, beams, 2)."""
        row, column = rng.integers(_NOISE_ROOM, size=2)
        return self.noise[row : row + shape[0], column : column + shape[1]]

    def grey(
        self, echoes: np.ndarray, gain: float, speckled: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Turn echoes (samples, beams, 2) into grey levels on the grid.

        ``speckled`` is the share of the echoes, 0..1, whose speckle compounding averages out.
        """
        envelope = np.float32(gain) * cv2.magnitude(*cv2.split(echoes))
        if np.any(speckled):
            averaged = cv2.GaussianBlur(envelope, (0, 0), 2.2)
            envelope += self.compounding * speckled * (averaged - envelope)
        return self.display.grey(envelope)

    def shown(self, grey: np.ndarray, probe: Probe, before: np.ndarray | None) -> np.ndarray:
        """Return the picture on the screen, float, after the one ``before``."""
        picture = cv2.GaussianBlur(probe.scan.picture(grey), (0, 0), self.smoothing_px)
        if before is None:
            return picture
        return before + (1 - self.persistence) * (picture - before)
