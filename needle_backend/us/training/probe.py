"""Transducers: where a beam's samples lie in the picture, and the picture made from them.

Echoes are simulated on the acquired grid, [sample, beam], depth downwards; scan conversion puts
them into the picture. Picture points are (x, y), pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.settings import ProbeSettings


@dataclass(frozen=True)
class LinearProbe:
    """Parallel vertical beams: a rectangle of the picture.

    ``beam_px`` is the distance between beams; samples are one pixel apart.
    """

    size: tuple[int, int]
    left: float
    top: float
    width: float
    height: float
    beam_px: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Samples a beam and beams."""
        return round(self.height), round(self.width / self.beam_px)

    def to_grid(self, xy: np.ndarray) -> np.ndarray:
        """Map picture points (..., 2) to continuous (beam, sample)."""
        return (xy - (self.left, self.top)) / (self.beam_px, 1.0)

    def to_picture(self, grid: np.ndarray) -> np.ndarray:
        """Map (beam, sample) to picture points; the inverse of :meth:`to_grid`."""
        return grid * (self.beam_px, 1.0) + (self.left, self.top)

    def beam_direction(self, xy: np.ndarray) -> np.ndarray:
        """Unit vectors along the beams at picture points."""
        return np.broadcast_to(np.array([0.0, 1.0]), xy.shape)

    def lateral_px(self) -> np.ndarray:
        """Return the distance between neighbouring beams at every sample, in pixels."""
        return np.full(self.shape[0], self.beam_px)

    @cached_property
    def scan(self) -> ScanConversion:
        """What makes pictures of this probe's grids."""
        return ScanConversion(self)


@dataclass(frozen=True)
class CurvedProbe:
    """Beams that fan out from an apex above the skin: a sector of the picture."""

    size: tuple[int, int]
    apex: tuple[float, float]
    radius_px: float
    height: float
    half_angle: float
    beams: int

    @property
    def shape(self) -> tuple[int, int]:
        """Samples a beam and beams."""
        return round(self.height), self.beams

    def to_grid(self, xy: np.ndarray) -> np.ndarray:
        """Map picture points (..., 2) to continuous (beam, sample)."""
        away = xy - np.asarray(self.apex)
        angle = np.arctan2(away[..., 0], away[..., 1])
        beam = (angle / self.half_angle + 1) * 0.5 * (self.beams - 1)
        return np.stack([beam, np.hypot(away[..., 0], away[..., 1]) - self.radius_px], -1)

    def to_picture(self, grid: np.ndarray) -> np.ndarray:
        """Map (beam, sample) to picture points; the inverse of :meth:`to_grid`."""
        angle = (grid[..., 0] / (0.5 * (self.beams - 1)) - 1) * self.half_angle
        reach = grid[..., 1] + self.radius_px
        return np.stack([np.sin(angle) * reach, np.cos(angle) * reach], -1) + self.apex

    def beam_direction(self, xy: np.ndarray) -> np.ndarray:
        """Unit vectors along the beams at picture points."""
        away = xy - np.asarray(self.apex)
        return away / np.linalg.norm(away, axis=-1, keepdims=True)

    def lateral_px(self) -> np.ndarray:
        """Return the distance between neighbouring beams at every sample, in pixels."""
        step = 2 * self.half_angle / (self.beams - 1)
        return step * (self.radius_px + np.arange(self.shape[0]))

    @cached_property
    def scan(self) -> ScanConversion:
        """What makes pictures of this probe's grids."""
        return ScanConversion(self)


Probe = LinearProbe | CurvedProbe


def draw_probe(settings: ProbeSettings, size: tuple[int, int], rng: np.random.Generator) -> Probe:
    """Draw a transducer and where its sector lies in a picture of (columns, rows)."""
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


class ScanConversion:
    """Looks up, for every pixel of the picture, where its echo lies on the grid."""

    def __init__(self, probe: Probe) -> None:
        columns, rows = probe.size
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        grid = probe.to_grid(np.stack([x, y], -1).astype(float)).astype(np.float32)
        samples, beams = probe.shape
        self.beam, self.sample = np.ascontiguousarray(grid[..., 0]), grid[..., 1].copy()
        self.sector = (
            (self.beam >= 0) & (self.beam <= beams - 1)
            & (self.sample >= 0) & (self.sample <= samples - 1)
        )  # fmt: skip

    def picture(self, grid: np.ndarray) -> np.ndarray:
        """Turn values on the grid into a picture, zero outside the sector."""
        shown = cv2.remap(grid, self.beam, self.sample, cv2.INTER_LINEAR)
        return shown * self.sector


def acquired(picture: np.ndarray, probe: Probe) -> np.ndarray:
    """Undo scan conversion: resample a picture onto a probe's grid."""
    samples, beams = probe.shape
    beam, sample = np.meshgrid(np.arange(beams), np.arange(samples))
    xy = probe.to_picture(np.stack([beam, sample], -1).astype(float)).astype(np.float32)
    return cv2.remap(
        picture, xy[..., 0], xy[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
