"""Couches that a simulated patient lies on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_PAD_HU, _FOAM_HU, _SHELL_HU, _CARBON_HU = -930.0, -880.0, -120.0, 150.0


def add_couch(
    hu: np.ndarray, body: np.ndarray, couch: str, x: np.ndarray, below: np.ndarray
) -> None:
    """Lay a couch into the air of one slice, in place.

    Parameters
    ----------
    hu
        The slice, (rows, columns).
    body
        Where the patient is; left alone.
    couch
        One of :data:`needle_backend.ct.training.settings.COUCHES`.
    x, below
        How far each pixel lies to the patient's left of the middle, and below the couch's top, mm.
    """
    _MAKERS[couch](hu, ~body, x, below)


def _curved(hu: np.ndarray, air: np.ndarray, x: np.ndarray, below: np.ndarray) -> None:
    """A curved scanner couch: a thin dense shell, light foam inside, a pad on top."""
    depth = below + 0.0009 * x**2
    air = air & (np.abs(x) < 255)
    hu[air & (depth > -9) & (depth < -1)] = _PAD_HU
    hu[air & (depth >= -1) & (depth < 28)] = _FOAM_HU
    shell = (np.abs(depth) < 1.2) | (np.abs(depth - 28) < 1.2)
    hu[air & shell] = _SHELL_HU


def _cradle(hu: np.ndarray, air: np.ndarray, x: np.ndarray, below: np.ndarray) -> None:
    """A deep narrow cradle with rails along its edges."""
    depth = below + 0.0024 * x**2
    inside = air & (np.abs(x) < 195)
    hu[inside & (depth >= -1) & (depth < 22)] = _FOAM_HU
    hu[inside & ((np.abs(depth) < 1.5) | (np.abs(depth - 22) < 1.5))] = _SHELL_HU
    hu[air & (np.hypot(np.abs(x) - 198, depth - 11) < 9)] = _CARBON_HU


def _flat(hu: np.ndarray, air: np.ndarray, x: np.ndarray, below: np.ndarray) -> None:
    """A flat carbon-fibre top as for radiotherapy, closed at its edges."""
    air = air & (np.abs(x) < 265)
    hu[air & (below >= -1) & (below < 50)] = _FOAM_HU - 50
    skin = (np.abs(below) < 1.6) | (np.abs(below - 50) < 1.6)
    edge = (np.abs(np.abs(x) - 263) < 2) & (below > -1) & (below < 51)
    hu[air & (skin | edge)] = _CARBON_HU


def _mattress(hu: np.ndarray, air: np.ndarray, x: np.ndarray, below: np.ndarray) -> None:
    """A vacuum mattress that comes up at the sides, on a flat top."""
    rise = 0.0014 * np.maximum(np.abs(x) - 120, 0) ** 2
    inside = air & (np.abs(x) < 235)
    hu[inside & (below > -8 - rise) & (below < 14)] = _PAD_HU + 40
    hu[inside & (np.abs(below + 8 + rise) < 1.2)] = _SHELL_HU - 250
    _flat(hu, air, x, below - 16)


def _none(hu: np.ndarray, air: np.ndarray, x: np.ndarray, below: np.ndarray) -> None:
    """The couch lies outside the picture."""


_MAKERS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]] = {
    "curved": _curved,
    "cradle": _cradle,
    "flat": _flat,
    "mattress": _mattress,
    "none": _none,
}
