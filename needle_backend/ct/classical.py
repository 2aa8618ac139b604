"""Find needles without a network: threshold, top-hat and lines fitted in 3D.

A baseline to measure the network against, and what one would try first: hubs are thick, long blobs
in air, shafts are what the top-hat leaves above a threshold, and a needle is the line from a hub
that shows most metal, found by trying many (RANSAC; Fischler and Bolles 1981) and fitted to it.
Faint and bowed shafts and touching hubs are its known weaknesses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import unit_vectors
from needle_backend.core.needles import (
    LocateOptions,
    LocateResult,
    Needle,
    NeedleCount,
    as_point,
    number_needles,
)
from needle_backend.core.progress import CancelToken, Progress
from needle_backend.core.volume import Volume

METAL_HU = 150.0
"""Top-hat above which a voxel may be a shaft."""
BRIGHT_HU = 600.0
"""Brighter metal than this does not pull harder at a fitted line."""
HUB_HU = 250.0
"""Top-hat above which a pixel in air may be a hub."""
BODY_HU = -400.0
BODY_MM = 14.0
"""What is wider than this is patient, couch or template; hubs and shafts are thinner."""
SHAFT_MM = 3.0
"""A shaft with its blur is thinner than this, a hub about twice as thick."""
HUB_MM2 = (40.0, 400.0)
HUB_ELONGATION = 1.8
SAME_HUB_MM = 4.0
SAME_HUB_DEG = 12.0

REACH_MM = 1.4
"""Points this near to a line, measured in a slice, lie on it."""
REACH_SLICES = 0.6
"""And this many slices, since a shaft shows on two slices at once."""
CONE_DEG = 5.0
"""In its slice, a needle leaves its hub within this angle of the blob's long axis."""
TILT_DEG = 20.0
"""Through the slices, likewise: one blob does not tell its tilt."""
TRIALS = 150
PIECE_MM = 2.0
"""Pieces of a line that either show metal or do not."""
GAP_COST = 2.5
"""What a piece without metal costs; one with metal counts 1. A line with a sum below 0 is none."""


@dataclass(frozen=True)
class _Blob:
    """A hub's cut on one slice: its centre (3,) and long axis (2,) in LPS mm, its brightness."""

    slice: int
    centre: np.ndarray
    axis: np.ndarray
    mass: float


@dataclass(frozen=True)
class _Metal:
    """Points that may be shaft: (n, 3) LPS mm, how much each weighs, and the slices' distance."""

    points: np.ndarray
    weights: np.ndarray
    slice_mm: float

    def take(self, selection: np.ndarray) -> _Metal:
        return _Metal(self.points[selection], self.weights[selection], self.slice_mm)


@dataclass(frozen=True)
class _Line:
    """A half-line from a hub, how far metal shows along it, and which points that is."""

    origin: np.ndarray
    direction: np.ndarray
    length_mm: float
    score: float
    on_line: np.ndarray


class ClassicalLocalizer:
    """Finds needles with thresholds and fitted lines, as a Localizer of :mod:`needle_backend.ct`.

    Needles have no confidence and no doubts: nothing here is calibrated.
    """

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Find the needles of a CT; device and solver do not matter, weights are not used.

        Raises
        ------
        Cancelled
            Soon after ``cancel`` was set.
        """
        from needle_backend.ct.preprocess import white_top_hat

        started = time.perf_counter()
        progress("tophat", 0.0)
        tophat = white_top_hat(volume.array)
        progress("tophat", 1.0)
        cancel.raise_if_cancelled()
        hubs = _hubs(_blobs(volume, tophat))
        metal = _metal(volume, tophat)
        first = []
        for number, hub in enumerate(hubs):
            cancel.raise_if_cancelled()
            progress("match", number / len(hubs))
            first.append(_best_line(hub, metal, options))
        needles, lone_hubs = _take_turns(hubs, first, metal, options)
        progress("match", 1.0)
        kept = needles[: options.count]
        return LocateResult(
            needles=number_needles(kept),
            count=NeedleCount(options.count or len(kept), estimated=options.count is None),
            unmatched_handles=tuple(as_point(hub.centre) for hub in lone_hubs),
            surplus=tuple(needles[len(kept) :]),
            solver="classical",
            timings_s={"total": time.perf_counter() - started},
            device="cpu",
            weights="the classical method",
            warnings=_unused(options),
        )


def find_hubs(volume: Volume, tophat: np.ndarray) -> np.ndarray:
    """Return where thick, long things in the air have their centres: (n, 3) LPS mm."""
    return np.array([hub.centre for hub in _hubs(_blobs(volume, tophat))]).reshape(-1, 3)


def _unused(options: LocateOptions) -> tuple[str, ...]:
    if options.weights is None:
        return ()
    return (f"The classical method needs no weights, so {options.weights} was not used.",)


def _blobs(volume: Volume, tophat: np.ndarray) -> list[_Blob]:
    """Find thick, long, bright blobs in the air of each slice."""
    from scipy.ndimage import find_objects, label

    wide = _disk(BODY_MM, volume)
    thick = _disk(SHAFT_MM, volume)
    blobs = []
    for k, plane in enumerate(volume.array):
        air = ~_opened(plane > BODY_HU, wide)
        labels, _ = label(_opened((tophat[k] > HUB_HU) & air, thick))
        for index, box in enumerate(find_objects(labels), start=1):
            rows, columns = np.nonzero(labels[box] == index)
            ij = np.column_stack((columns + box[1].start, rows + box[0].start))
            brightness = float(tophat[k][ij[:, 1], ij[:, 0]].sum())
            blobs += _as_blob(ij, k, brightness, volume)
    return blobs


def _as_blob(ij: np.ndarray, k: int, mass: float, volume: Volume) -> list[_Blob]:
    """Describe a blob if it has a hub's size and shape."""
    pixel_mm2 = volume.spacing_mm[0] * volume.spacing_mm[1]
    if not HUB_MM2[0] <= len(ij) * pixel_mm2 <= HUB_MM2[1]:
        return []
    points = volume.ijk_to_lps(np.column_stack((ij, np.full(len(ij), k))))
    variances, axes = np.linalg.eigh(np.cov(points[:, :2].T))
    if variances[1] < HUB_ELONGATION**2 * variances[0]:
        return []
    # The middle of its extent, not the mean: a flange at one end must not pull the centre.
    along = (points[:, :2] - points[:, :2].mean(axis=0)) @ axes[:, 1]
    shift = 0.5 * (along.min() + along.max()) * axes[:, 1]
    return [_Blob(k, points.mean(axis=0) + [*shift, 0.0], axes[:, 1], mass)]


def _hubs(blobs: Sequence[_Blob]) -> list[_Blob]:
    """Keep of each hub the slice that shows it best, with its centre between the slices."""
    hubs = []
    for blob in blobs:
        near = [other for other in blobs if _same_hub(blob, other)]
        if all((blob.mass, blob.slice) >= (other.mass, other.slice) for other in near):
            masses = [other.mass for other in near]
            z = float(np.average([other.centre[2] for other in near], weights=masses))
            hubs.append(_Blob(blob.slice, np.array([*blob.centre[:2], z]), blob.axis, blob.mass))
    return hubs


def _same_hub(a: _Blob, b: _Blob) -> bool:
    """Whether two blobs, of one slice or of neighbouring ones, may be cuts of one hub."""
    return (
        abs(a.slice - b.slice) <= 1
        and float(np.linalg.norm((a.centre - b.centre)[:2])) < SAME_HUB_MM
        and abs(float(a.axis @ b.axis)) > np.cos(np.radians(SAME_HUB_DEG))
    )


def _metal(volume: Volume, tophat: np.ndarray) -> _Metal:
    kji = np.argwhere(tophat > METAL_HU)
    weights = np.minimum(tophat[tuple(kji.T)].astype(float), BRIGHT_HU)
    return _Metal(volume.ijk_to_lps(kji[:, ::-1]), weights, volume.spacing_mm[2])


def _take_turns(
    hubs: Sequence[_Blob],
    first: Sequence[_Line | None],
    metal: _Metal,
    options: LocateOptions,
) -> tuple[list[Needle], list[_Blob]]:
    """Let the hub with the best line go first; no metal is used by two needles.

    Returns
    -------
    needles, lone_hubs
        The needles, best first, and the hubs from which none starts.
    """
    order = np.argsort([-line.score if line else 0.0 for line in first], kind="stable")
    free = np.ones(len(metal.points), bool)
    needles, lone_hubs = [], []
    for index in order:
        places = np.flatnonzero(free)
        line = _best_line(hubs[index], metal.take(places), options) if first[index] else None
        if line is None:
            lone_hubs.append(hubs[index])
            continue
        free[places[line.on_line]] = False
        needles.append(
            Needle(
                tip_lps=as_point(line.origin + line.length_mm * line.direction),
                handle_lps=as_point(line.origin),
                score=line.score,
            )
        )
    return sorted(needles, key=lambda needle: -needle.score), lone_hubs


def _best_line(hub: _Blob, metal: _Metal, options: LocateOptions) -> _Line | None:
    """Try lines from a hub to points of metal, and fit the one that shows most metal."""
    places = np.flatnonzero(_in_reach(hub, metal, options))
    near = metal.take(places)
    if len(places) < 2:
        return None
    tries = np.random.default_rng(0).permutation(len(places))[:TRIALS]
    best = None
    for direction in unit_vectors(near.points[tries] - hub.centre):
        line = _followed(hub.centre, direction, near, options)
        if line and (best is None or line.score > best.score):
            best = line
    for _ in range(2):
        if best is not None:
            best = _followed(*_fitted(best, hub, near), near, options)
    if best is None or best.score < 0:
        return None
    return _Line(best.origin, best.direction, best.length_mm, best.score, places[best.on_line])


def _in_reach(hub: _Blob, metal: _Metal, options: LocateOptions) -> np.ndarray:
    """Mask the points that a needle from this hub may pass."""
    offset = metal.points - hub.centre
    along = np.abs(offset[:, :2] @ hub.axis)
    across = np.abs(offset[:, :2] @ [-hub.axis[1], hub.axis[0]])
    beyond_hub = along > 0.15 * options.length_mm
    within = along < options.length_mm + options.length_tolerance_mm
    in_cone = across < REACH_MM + np.tan(np.radians(CONE_DEG)) * along
    tilted = np.abs(offset[:, 2]) < metal.slice_mm + np.tan(np.radians(TILT_DEG)) * along
    return beyond_hub & within & in_cone & tilted


def _followed(
    origin: np.ndarray, direction: np.ndarray, metal: _Metal, options: LocateOptions
) -> _Line | None:
    """Follow a half-line as far as metal shows; None when no length allowed has any.

    Pieces with metal count 1 and pieces without cost :data:`GAP_COST`; the tip is where the sum is
    highest, so that a shaft may fade but is not continued by what lies far beyond it.
    """
    offset = metal.points - origin
    along = offset @ direction
    across = (offset - along[:, None] * direction) / [
        REACH_MM,
        REACH_MM,
        REACH_SLICES * metal.slice_mm,
    ]
    on_line = (along > 0) & (np.einsum("ij,ij->i", across, across) < 1.0)
    longest = options.length_mm + options.length_tolerance_mm
    pieces = np.zeros(int(longest / PIECE_MM) + 1, bool)
    depth = (along[on_line] / PIECE_MM).astype(int)
    pieces[depth[depth < len(pieces)]] = True
    # The hub and the shaft beside it are taken as seen.
    start = int(0.15 * options.length_mm / PIECE_MM) + 1
    pieces[:start] = True
    gain = np.where(pieces, 1.0, -GAP_COST).cumsum()
    gain[: int((options.length_mm - options.length_tolerance_mm) / PIECE_MM)] = -np.inf
    gain[~pieces] = -np.inf
    last = int(gain.argmax())
    if not np.isfinite(gain[last]):
        return None
    length = float(along[on_line & (along < (last + 1) * PIECE_MM)].max())
    return _Line(origin, direction, length, float(gain[last]), on_line & (along <= length))


def _fitted(line: _Line, hub: _Blob, metal: _Metal) -> tuple[np.ndarray, np.ndarray]:
    """Fit a line to its metal and its hub by weighted least squares.

    Returns
    -------
    origin, direction
        The hub's centre moved onto the line, and the direction towards the tip.
    """
    points = np.vstack((metal.points[line.on_line], hub.centre))
    weights = np.append(metal.weights[line.on_line], BRIGHT_HU)
    mean = np.average(points, axis=0, weights=weights)
    spread = np.cov((points - mean).T, aweights=weights)
    direction = np.linalg.eigh(spread)[1][:, -1]
    direction *= np.sign(direction @ line.direction)
    return mean + ((hub.centre - mean) @ direction) * direction, direction


def _disk(diameter_mm: float, volume: Volume) -> np.ndarray:
    import cv2

    size = 2 * round(0.5 * diameter_mm / volume.spacing_mm[0]) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _opened(mask: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, footprint).astype(bool)
