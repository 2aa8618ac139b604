"""Speckle and display: scatterers through the point spread, envelopes through log compression.

Fully developed speckle is the magnitude of a complex Gaussian field, correlated over the point
spread (Wagner et al., IEEE Trans. Sonics Ultrason. 30(3), 1983). Tissue and needle go through the
same point spread and the same compression; their echoes add as complex amplitudes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class PointSpread:
    """Gaussian point spread on a probe's grid, narrowest at the focus.

    ``lateral`` is its standard deviation in beams for every sample, ``axial`` in samples.
    """

    axial: float
    lateral: np.ndarray

    @classmethod
    def focused(
        cls, axial_px: float, lateral_px: float, defocus: float, focus: float, beam_px: np.ndarray
    ) -> PointSpread:
        """Make one whose focus lies at a share of the depth, from widths in pixels."""
        samples = len(beam_px)
        away = np.abs(np.arange(samples) / samples - focus) / max(focus, 1 - focus)
        return cls(axial_px, lateral_px * (1 + (defocus - 1) * away**1.5) / beam_px)

    def lateral_at(self, sample: np.ndarray) -> np.ndarray:
        """Return the lateral width in beams at samples, also outside the grid."""
        index = np.clip(np.rint(sample).astype(int), 0, len(self.lateral) - 1)
        return self.lateral[index]

    def speckle_gain(self, rows: int, first_sample: int = 0) -> np.ndarray:
        """Return what white noise of both channels needs to become speckle of intensity 1."""
        lateral = self.lateral_at(np.arange(first_sample, first_sample + rows))
        return np.sqrt(2 * np.pi * self.axial * lateral).astype(np.float32)[:, None, None]

    def apply(self, scatterers: np.ndarray, first_sample: int = 0) -> np.ndarray:
        """Blur scatterers (samples, beams, channels), which start at a sample of the grid.

        Widths between the narrowest and the widest are mixed from the two, which is exact at both
        and a good likeness between them. Sums are kept.
        """
        width = self.lateral_at(np.arange(first_sample, first_sample + len(scatterers)))
        low, high = float(width.min()), float(width.max())
        narrow = _blur(scatterers, low, self.axial)
        if high - low < 0.15:
            return narrow
        wide = _blur(scatterers, high, self.axial)
        # Peaks fall as 1 / width, so mix such that the peak of a point is right.
        share = ((1 / low - 1 / width) / (1 / low - 1 / high)).astype(np.float32)[:, None, None]
        return narrow + share * (wide - narrow)


def _blur(field: np.ndarray, lateral: float, axial: float) -> np.ndarray:
    return cv2.GaussianBlur(
        field, (0, 0), sigmaX=max(lateral, 0.3), sigmaY=axial, borderType=cv2.BORDER_REFLECT
    )


def speckle(
    shape: tuple[int, int], spread: PointSpread, rng: np.random.Generator, margin: int = 0
) -> np.ndarray:
    """Return complex speckle of mean intensity 1 as two channels, (samples, beams, 2).

    ``margin`` samples of the shape lie above the grid's first.
    """
    white = rng.standard_normal((*shape, 2), dtype=np.float32)
    return spread.apply(white * spread.speckle_gain(shape[0], -margin), -margin)


@dataclass(frozen=True)
class Display:
    """Log compression: an envelope of 1 is white, ``range_db`` below it is black."""

    range_db: float

    def grey(self, envelope: np.ndarray) -> np.ndarray:
        """Compress an envelope to grey levels, float 0..255."""
        level = cv2.log(np.maximum(envelope, 1e-6)) * np.float32(20 / np.log(10) / self.range_db)
        return np.clip(level + 1, 0, 1) * np.float32(255)

    def envelope(self, grey: np.ndarray) -> np.ndarray:
        """Undo :meth:`grey`."""
        level = grey.astype(np.float32) * np.float32(1 / 255) - 1
        return cv2.exp(level * np.float32(self.range_db * np.log(10) / 20))


def amplitude(level_db: np.ndarray | float) -> np.ndarray | float:
    """Turn dB into a factor of amplitude."""
    return 10 ** (np.asarray(level_db) / 20)


def smooth_noise(
    shape: tuple[int, int], correlation: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Return Gaussian noise of unit variance, smooth over (rows, columns) of a 2D array."""
    coarse = tuple(
        max(4, int(np.ceil(n / max(step, 1))) + 3)
        for n, step in zip(shape, correlation, strict=True)
    )
    grid = rng.standard_normal(coarse, dtype=np.float32)
    large = cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return large / max(float(large.std()), 1e-6)


def smooth_series(count: int, correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random series of unit variance (before sampling), (count,)."""
    correlation = max(correlation, 1.0)
    knots = rng.standard_normal(int(np.ceil(count / correlation)) + 4)
    where = rng.uniform(1, 2) + np.arange(count) / correlation
    left = np.floor(where).astype(int)
    part = where - left
    ease = part * part * (3 - 2 * part)
    return knots[left] * (1 - ease) + knots[left + 1] * ease
