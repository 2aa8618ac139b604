"""An implant as it stands in a patient: needles, seeds and template, and how near needles are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.needles import Needle, as_point

CLOSE_MM = 3.0
"""Axes nearer than this make needles hard to tell apart."""


@dataclass(frozen=True)
class ImplantNeedle:
    """One needle as it stands in the patient.

    ``bow_lps`` is the offset of its middle from the straight line; ``strength`` holds factors on
    the metal's HU at evenly spaced places from tip to hub; ``hub_flange`` is the far rim's radius
    over the barrel's. The hub is of one of the shapes in
    :data:`needle_backend.ct.training.settings.HUB_SHAPES`, turned by ``hub_roll_deg`` about the
    axis. Over the last ``point_mm`` the shaft thins to nothing at its tip.
    """

    tip: np.ndarray
    handle: np.ndarray
    radius_mm: float
    metal_hu: float
    bow_lps: np.ndarray
    strength: np.ndarray
    hub_radius_mm: float
    hub_length_mm: float
    hub_hu: float
    hub_flange: float
    hub_shape: str
    hub_roll_deg: float
    point_mm: float = 0.0

    @property
    def direction(self) -> np.ndarray:
        """Unit vector from the tip to the handle."""
        return (self.handle - self.tip) / np.linalg.norm(self.handle - self.tip)

    def truth(self) -> Needle:
        """Return the geometric truth."""
        return Needle(as_point(self.tip.round(4)), as_point(self.handle.round(4)))


@dataclass(frozen=True)
class Template:
    """A guide plate with a grid of holes, square to ``normal``, its near face at ``centre``."""

    centre: np.ndarray
    normal: np.ndarray
    half_size_mm: float
    thickness_mm: float
    hu: float


@dataclass(frozen=True)
class Implant:
    """Everything put into one patient; seeds are (centre, direction) pairs."""

    needles: tuple[ImplantNeedle, ...]
    seeds: tuple[tuple[np.ndarray, np.ndarray], ...]
    template: Template | None


def close_to_another(needles: list[ImplantNeedle]) -> np.ndarray:
    """Which needles have another axis nearer than 3 mm somewhere."""
    close = np.zeros(len(needles), bool)
    for a in range(len(needles)):
        for b in range(a):
            if axis_gap_mm(needles[a], needles[b]) < CLOSE_MM:
                close[[a, b]] = True
    return close


def axis_gap_mm(a: ImplantNeedle, b: ImplantNeedle) -> float:
    """Smallest distance of two needles' straight axes, by sampling every few mm and refining."""
    from scipy.spatial.distance import cdist

    first, second = (np.linspace(n.tip, n.handle, 90) for n in (a, b))
    gaps = cdist(first, second)
    i, j = np.unravel_index(int(gaps.argmin()), gaps.shape)
    if gaps[i, j] > 8:
        return float(gaps[i, j])
    fine = [
        np.linspace(path[max(at - 1, 0)], path[min(at + 1, 89)], 41)
        for path, at in ((first, i), (second, j))
    ]
    return float(cdist(*fine).min())


def apart(a: ImplantNeedle, b: ImplantNeedle) -> bool:
    """Whether two needles can stand side by side: shafts not in each other, nor hubs."""
    if axis_gap_mm(a, b) < a.radius_mm + b.radius_mm + 0.1:
        return False
    between = b.handle - a.handle
    along = abs(float(between @ a.direction))
    across = float(np.linalg.norm(between - (between @ a.direction) * a.direction))
    hubs_apart = across > a.hub_radius_mm + b.hub_radius_mm - 0.2
    return hubs_apart or along > 0.5 * (a.hub_length_mm + b.hub_length_mm)
