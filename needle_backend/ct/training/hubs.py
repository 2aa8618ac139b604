"""Shapes and materials of hubs: the thick end of a needle that the clinician holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from needle_backend.ct.training.anatomy import AIR_HU
from needle_backend.ct.training.implants import ImplantNeedle
from needle_backend.ct.training.splat import Points, joined, tube

MATERIALS_HU = {
    "polypropylene": -110.0,
    "polyethylene": -70.0,
    "ABS": 10.0,
    "polycarbonate": 110.0,
    "acetal": 350.0,
    "PVC": 900.0,
    "aluminium": 2300.0,
    "steel": 7000.0,
}
"""What hubs are made of, and about how much it reads at 120 kV."""

_STEP_MM = 0.6
_RIB_MM = 2.5


def hub_points(needle: ImplantNeedle) -> Points:
    """The hub around the handle, HU above air."""
    return joined(_MAKERS[needle.hub_shape](needle))


def _axis(needle: ImplantNeedle) -> np.ndarray:
    """Points of the axis from one end of the hub to the other, (n, 3) LPS mm."""
    half = 0.5 * needle.hub_length_mm
    ends = needle.handle + np.outer([-half, half], needle.direction)
    return np.linspace(*ends, max(2, round(needle.hub_length_mm / _STEP_MM)))


def _between(needle: ImplantNeedle, start: float, end: float) -> np.ndarray:
    """Middles of small steps between two places, as shares of the hub's length from its middle.

    Pieces that follow each other do not overlap.
    """
    count = max(2, round((end - start) * needle.hub_length_mm / _STEP_MM))
    places = start + (end - start) * (np.arange(count) + 0.5) / count
    return needle.handle + np.outer(places * needle.hub_length_mm, needle.direction)


def _piece(needle: ImplantNeedle, start: float, end: float, outer: float) -> Points:
    """A solid piece of the hub between two places, its radius a share of the hub's."""
    axis = _between(needle, start, end)
    return tube(axis, outer * needle.hub_radius_mm, needle.hub_hu - AIR_HU, rings=4)


def _pipe(needle: ImplantNeedle, inner: float) -> list[Points]:
    """The whole hub with an empty core, and the wider flange at its far end."""
    axis, radius, above = _axis(needle), needle.hub_radius_mm, needle.hub_hu - AIR_HU
    return [
        tube(axis, radius, above, rings=4, inner_mm=inner * radius),
        tube(axis[-5:], needle.hub_flange * radius, above, rings=1, inner_mm=radius),
    ]


def _barrel(needle: ImplantNeedle) -> list[Points]:
    return _pipe(needle, inner=0.0)


def _hollow(needle: ImplantNeedle) -> list[Points]:
    """A Luer socket: thin plastic around air."""
    return _pipe(needle, inner=0.6)


def _cone(needle: ImplantNeedle) -> list[Points]:
    """Thin where the shaft comes out, thick at the far end."""
    places, radii = np.linspace(-0.5, 0.5, 8), np.linspace(0.5, 1.2, 7)
    return [
        _piece(needle, start, end, radius)
        for start, end, radius in zip(places[:-1], places[1:], radii, strict=True)
    ]


def _ribbed(needle: ImplantNeedle) -> list[Points]:
    """Rings to hold it by."""
    places = np.linspace(-0.5, 0.5, max(3, round(needle.hub_length_mm / _RIB_MM)) + 1)
    return [
        _piece(needle, start, end, 1.0 if index % 2 else 0.65)
        for index, (start, end) in enumerate(zip(places[:-1], places[1:], strict=True))
    ]


def _winged(needle: ImplantNeedle) -> list[Points]:
    """A slim barrel with a flat wing on either side."""
    side = np.cross(needle.direction, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    roll = np.deg2rad(needle.hub_roll_deg)
    across = np.cos(roll) * side + np.sin(roll) * np.cross(needle.direction, side)
    parts = [_piece(needle, -0.5, 0.5, 0.8)]
    for place in _between(needle, -0.1, 0.3)[::3]:
        for way in (-1, 1):
            reach = needle.hub_radius_mm * np.array([0.8, 3.0])
            ends = place + way * np.outer(reach, across)
            parts.append(tube(np.linspace(*ends, 12), 0.9, needle.hub_hu - AIR_HU))
    return parts


def _cored(needle: ImplantNeedle) -> list[Points]:
    """The inner needle runs through the hub and ends in a cap of its own."""
    core = tube(_between(needle, 0.0, 0.5), needle.radius_mm, needle.metal_hu)
    return [*_barrel(needle), core, _piece(needle, 0.5, 0.65, 1.3)]


_MAKERS: dict[str, Callable[[ImplantNeedle], list[Points]]] = {
    "barrel": _barrel,
    "hollow": _hollow,
    "cone": _cone,
    "ribbed": _ribbed,
    "winged": _winged,
    "cored": _cored,
}
