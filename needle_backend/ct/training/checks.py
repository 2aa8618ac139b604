"""Check annotated cases before training on them: what is wrong with which needle, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from needle_backend.core.needles import Needle
from needle_backend.core.volume import Volume
from needle_backend.ct.preprocess import white_top_hat

OUTSIDE_MM = 3.0
"""An end may lie this far beyond the outermost voxels' centres: it is seen in part."""
DOUBLE_MM = 2.0
METAL_HU = 70.0
NEAR_MM = 2.0
LEAST_SHAFT_SEEN = 0.15
AIR_HU = -500.0
RING_MM = (7.0, 12.0)
"""What an end lies in is looked for around it, beyond the widest hub."""


@dataclass(frozen=True)
class Finding:
    """Something about a case that its annotator should look at.

    Attributes
    ----------
    sentence
        What it is, naming the needle.
    grave
        Whether the case would teach something wrong, and must be left out until it is mended.
    """

    sentence: str
    grave: bool


@dataclass(frozen=True)
class LengthLimits:
    """Shortest and longest needle, tip to hub centre."""

    shortest_mm: float = 120.0
    longest_mm: float = 250.0


def check_case(
    volume: Volume, needles: tuple[Needle, ...], limits: LengthLimits
) -> tuple[Finding, ...]:
    """Look for tip and handle swapped, wrong lengths, ends outside, doubles, and missing metal.

    Needles are named by their number, counted from 1 in the order of the annotation.
    """
    if not needles:
        return (Finding("it has no needle; it will teach what is none", grave=False),)
    tophat = white_top_hat(volume.array)
    findings: list[Finding] = []
    for number, needle in enumerate(needles, start=1):
        name = f"needle {number}" + (f" ({needle.id})" if needle.id else "")
        findings += _check_needle(name, needle, volume, tophat, limits)
    return tuple(findings) + tuple(_doubles(needles))


def _check_needle(
    name: str, needle: Needle, volume: Volume, tophat: np.ndarray, limits: LengthLimits
) -> Iterator[Finding]:
    if not limits.shortest_mm <= needle.length_mm <= limits.longest_mm:
        yield Finding(
            f"{name} is {needle.length_mm:.0f} mm long, not {limits.shortest_mm:g} to "
            f"{limits.longest_mm:g} mm",
            grave=True,
        )
    ends = {"tip": np.array(needle.tip_lps), "handle": np.array(needle.handle_lps)}
    outside = [kind for kind, point in ends.items() if _outside_mm(point, volume) > OUTSIDE_MM]
    for kind in outside:
        yield Finding(f"the {kind} of {name} lies outside the volume", grave=True)
    if outside or needle.length_mm == 0:
        return
    in_air = {kind: _surroundings_hu(point, volume) < AIR_HU for kind, point in ends.items()}
    if in_air["tip"] and not in_air["handle"]:
        yield Finding(f"tip and handle of {name} seem swapped: the tip lies in air", grave=True)
    if not _brighter_near(ends["tip"][None], METAL_HU, volume, tophat)[0]:
        yield Finding(f"the tip of {name} is not on metal", grave=False)
    # Hubs that touch are wider than what the top-hat keeps, so the CT itself is looked at.
    if not _brighter_near(ends["handle"][None], AIR_HU, volume, volume.array)[0]:
        yield Finding(f"the handle of {name} lies in air beside its hub", grave=False)
    places = np.linspace(0.05, 0.95, 60)[:, None]
    shaft = ends["tip"] + places * (ends["handle"] - ends["tip"])
    seen = _brighter_near(shaft, METAL_HU, volume, tophat).mean()
    if seen < LEAST_SHAFT_SEEN:
        yield Finding(f"only {100 * seen:.0f} % of the shaft of {name} shows metal", grave=False)


def _doubles(needles: tuple[Needle, ...]) -> Iterator[Finding]:
    ends = np.array([(needle.tip_lps, needle.handle_lps) for needle in needles])
    # Also the other way round: the same needle drawn twice, once from its handle.
    for order in (ends, ends[:, ::-1]):
        apart = np.linalg.norm(ends[:, None] - order[None], axis=-1).max(axis=-1)
        for i, j in np.argwhere(np.triu(apart < DOUBLE_MM, k=1)):
            yield Finding(f"needles {i + 1} and {j + 1} are the same", grave=True)


def _outside_mm(point_lps: np.ndarray, volume: Volume) -> float:
    """Return how far a point lies beyond the outermost voxels' edges; 0 inside."""
    ijk = volume.lps_to_ijk(point_lps)
    last = np.array(volume.array.shape[::-1]) - 0.5
    return float((np.maximum.reduce([-0.5 - ijk, ijk - last, [0, 0, 0]]) * volume.spacing_mm).max())


def _surroundings_hu(point_lps: np.ndarray, volume: Volume) -> float:
    """Return the median HU of a ring around a point, on its slice."""
    disk_mm = _offsets_mm(RING_MM[1], volume)
    ring_mm = disk_mm[np.linalg.norm(disk_mm, axis=1) >= RING_MM[0]]
    return float(np.median(_sampled(volume.array, point_lps + ring_mm, volume)))


def _brighter_near(
    points_lps: np.ndarray, hu: float, volume: Volume, array: np.ndarray
) -> np.ndarray:
    """Tell of each point (n, 3) whether an array exceeds ``hu`` near it on its slice, (n,) bool."""
    near = points_lps[:, None] + _offsets_mm(NEAR_MM, volume)
    return _sampled(array, near, volume).max(axis=1) > hu


def _offsets_mm(radius_mm: float, volume: Volume) -> np.ndarray:
    """Return the pixels of a disk as offsets (n, 3)."""
    pixel_x, pixel_y, _ = volume.spacing_mm
    x = pixel_x * np.arange(-int(radius_mm / pixel_x), int(radius_mm / pixel_x) + 1)
    y = pixel_y * np.arange(-int(radius_mm / pixel_y), int(radius_mm / pixel_y) + 1)
    offsets = np.stack([*np.meshgrid(x, y), np.zeros((len(y), len(x)))], axis=-1).reshape(-1, 3)
    return offsets[np.linalg.norm(offsets, axis=1) <= radius_mm]


def _sampled(array: np.ndarray, points_lps: np.ndarray, volume: Volume) -> np.ndarray:
    """Return the nearest voxels' values; points outside take the nearest one inside."""
    ijk = np.rint(volume.lps_to_ijk(points_lps)).astype(int)
    i, j, k = np.moveaxis(np.clip(ijk, 0, np.array(array.shape[::-1]) - 1), -1, 0)
    return array[k, j, i]
