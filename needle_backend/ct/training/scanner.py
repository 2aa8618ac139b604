"""From ideal slices to scanned ones: blur, quantum noise with CT texture, metal streaks.

Noise and metal artefacts are made where a scanner makes them, in projection space: rays through
more body or metal are noisier, and rays through metal read too low (beam hardening). The error
sinogram is ramp-filtered and back-projected, so streaks join metal to metal and noise is coarser
along the hips, as in real slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.ct.training.settings import ScannerSettings

_ANGLES = 256
_WATER_PER_MM = 0.019
_STREAK_HU = 9000.0


@dataclass(frozen=True)
class Scanner:
    """One scanner with one reconstruction kernel, drawn from the settings."""

    psf_sigma_mm: float
    sharpen: float
    noise_hu: float
    streak: float

    @classmethod
    def drawn(cls, settings: ScannerSettings, rng: np.random.Generator) -> Scanner:
        """Draw a scanner; sharp kernels come with more noise."""
        sigma = draw(rng, settings.psf_sigma_mm)
        sharpen = draw(rng, settings.sharpen)
        noise = draw(rng, settings.noise_hu)
        return cls(sigma, sharpen, noise * (1 + 0.4 * sharpen), draw(rng, settings.streak))

    def scan(
        self,
        anatomy_hu: np.ndarray,
        metal_hu: np.ndarray,
        pixel_mm: float,
        noise_scale: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return the scanned slice as int16 HU.

        Parameters
        ----------
        anatomy_hu
            Ideal slice without thin metal, (rows, columns).
        metal_hu
            What thin metal adds to it.
        noise_scale
            1 for ideal anatomy; small where the anatomy is a real scan that has its own noise.
        """
        ideal = anatomy_hu + metal_hu
        sigma = self.psf_sigma_mm / pixel_mm
        image = cv2.GaussianBlur(ideal, (0, 0), sigma)
        if self.sharpen > 0:
            image += self.sharpen * (image - cv2.GaussianBlur(image, (0, 0), 1.6 * sigma))
        if noise_scale < 1:
            metal_blurred = cv2.GaussianBlur(metal_hu, (0, 0), sigma)
            image = anatomy_hu + metal_blurred
        image += self._error(anatomy_hu, metal_hu, pixel_mm, noise_scale, rng)
        return np.clip(np.rint(image), -1024, 3071).astype(np.int16)

    def _error(
        self,
        anatomy_hu: np.ndarray,
        metal_hu: np.ndarray,
        pixel_mm: float,
        noise_scale: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        size = anatomy_hu.shape[0]
        body = project(_halved((anatomy_hu + 1000) / 1000), 2 * pixel_mm) * _WATER_PER_MM
        metal = project(_halved(np.maximum(metal_hu, 0) / 1000), 2 * pixel_mm) * _WATER_PER_MM
        body, metal = (cv2.resize(p, (size, _ANGLES)) for p in (body, metal))
        spread = np.exp(0.5 * np.minimum(body + 2 * metal, 9.0))
        middle = slice(size // 2 - 8, size // 2 + 8)
        ramp = _ramp(size, self.sharpen)
        # What unit white noise becomes in the middle: filtered, then summed over all angles.
        gain = np.pi * np.sqrt(np.mean(ramp**2) / _ANGLES)
        unit = gain * np.sqrt(np.mean(spread[:, middle] ** 2))
        noise = rng.standard_normal(body.shape, dtype=np.float32) * spread
        hardening = metal**2 / (1 + 0.5 * metal) * (1 + 0.25 * body)
        error = (
            self.noise_hu * noise_scale / unit * noise
            - self.streak * _STREAK_HU / pixel_mm * hardening
        )
        return back_project(_filtered(error, ramp))


def _halved(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image.astype(np.float32), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def project(image: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Parallel projections over 180 degrees, (angles, columns), line integrals in value x mm."""
    size = image.shape[0]
    centre = ((size - 1) / 2, (size - 1) / 2)
    out = np.empty((_ANGLES, size), np.float32)
    for index in range(0, _ANGLES, 2):
        turn = cv2.getRotationMatrix2D(centre, 180.0 * index / _ANGLES, 1.0)
        out[index] = cv2.warpAffine(image, turn, (size, size)).sum(0) * pixel_mm
    out[1::2] = (out[0::2] + np.roll(out[0::2], -1, 0)) / 2
    out[-1] = out[-2]
    return out


def back_project(sinogram: np.ndarray) -> np.ndarray:
    """Back-project (angles, columns) onto a square of as many columns."""
    size = sinogram.shape[1]
    centre = (size - 1) / 2
    out = np.zeros((size, size), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for index, row in enumerate(sinogram):
        angle = np.pi * index / len(sinogram)
        cos, sin = np.cos(angle), np.sin(angle)
        lookup = np.array([[cos, sin, centre * (1 - cos - sin)], [0.0, 0.0, 0.0]])
        out += cv2.warpAffine(
            row[None], lookup, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT
        )
    return out * (np.pi / len(sinogram))


def _ramp(size: int, sharpen: float) -> np.ndarray:
    frequency = np.fft.rfftfreq(2 * size)
    ramp = 2 * frequency * np.cos(np.pi * frequency) ** (4 - 4 * min(sharpen, 0.75))
    return ramp.astype(np.float32)


def _filtered(sinogram: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    size = sinogram.shape[1]
    spectrum = np.fft.rfft(sinogram, 2 * size, axis=1) * ramp
    return np.fft.irfft(spectrum, 2 * size, axis=1)[:, :size].astype(np.float32)
