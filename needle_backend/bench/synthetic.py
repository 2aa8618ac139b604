"""Small synthetic needle cases for the tests and benchmarks of fusing, scoring and matching.

Not the product's simulator: no anatomy beyond an ellipse, but every difficulty of matching, made in
a fraction of a second: parallel groups and fans, neighbours that nearly touch, bowed and fading
shafts, partial volume over thick slices, and detections that miss, invent and jitter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import direction_of_angle, segment_distances
from needle_backend.core.needles import Needle, as_point
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import HANDLE, TIP, Ends, SliceEnds

SHAFT_HU_MM = 2100.0  # line density of a steel shaft of 1.3 mm in a 5 mm slice
THICKNESS_MM = 1.4
BLUR_MM = 0.75
VISIBLE_HU = 50.0


@dataclass(frozen=True)
class Settings:
    """What a case is drawn from; ranges are (low, high)."""

    needles: tuple[int, int] = (4, 30)
    lengths_mm: tuple[float, ...] = (150.0, 200.0, 210.0)
    touching_share: float = 0.3
    bowed_share: float = 0.15
    fading_share: float = 0.3
    tilt_deg: float = 8.0
    missed: float = 0.04
    false: float = 0.06
    noise_mm: tuple[float, float] = (0.6, 0.9)
    angle_noise_deg: tuple[float, float] = (2.0, 3.0)
    slice_mm: float = 5.0
    pixel_mm: float = 0.9
    noise_hu: float = 15.0


@dataclass(frozen=True)
class Case:
    """A volume, its needles, and what a network might have detected on its slices."""

    volume: Volume
    needles: tuple[Needle, ...]
    detections: SliceEnds


def make_case(seed: int, settings: Settings | None = None) -> Case:
    """Draw needles, render them and detect them; the same seed gives the same case."""
    settings = settings or Settings()
    rng = np.random.default_rng(seed)
    needles = _draw_needles(rng, settings)
    bows = np.where(
        rng.random(len(needles)) < settings.bowed_share, rng.uniform(1, 4, len(needles)), 0.0
    ) * rng.choice([-1, 1], len(needles))
    volume = _render(rng, needles, bows, settings)
    return Case(volume, needles, _detect(rng, needles, bows, volume, settings))


def _draw_needles(rng: np.random.Generator, settings: Settings) -> tuple[Needle, ...]:
    """Rows of needles, row by row along z, each row a parallel group or a fan in its slice."""
    wanted = int(rng.integers(settings.needles[0], settings.needles[1] + 1))
    lengths = rng.choice(settings.lengths_mm, size=rng.integers(1, 3), replace=False)
    spread = rng.choice([0.0, 1.5, 4.0])
    base_angle = 90.0 + rng.uniform(-35, 35)
    tips: list[np.ndarray] = []
    handles: list[np.ndarray] = []
    row = 0
    group_tilt = rng.normal(0, settings.tilt_deg / 2)
    while len(tips) < wanted:
        in_row = min(int(rng.integers(2, 8)), wanted - len(tips))
        gap = rng.uniform(5, 12)
        start = -gap * (in_row - 1) / 2 + rng.normal(0, 3)
        z = rng.uniform(5.0, 9.0) * row + rng.uniform(-1, 1)
        for place in range(in_row):
            touches = place > 0 and rng.random() < settings.touching_share
            start += rng.uniform(2.0, 3.0) if touches else gap * rng.uniform(0.8, 1.2)
            angle = np.radians(base_angle + spread * (place - in_row / 2) + rng.normal(0, 0.4))
            tilt = np.radians(np.clip(group_tilt + rng.normal(0, 1.5), -20, 20))
            toward_handle = np.array(
                [np.cos(angle) * np.cos(tilt), -np.sin(angle) * np.cos(tilt), np.sin(tilt)]
            )
            across = np.array([np.sin(np.radians(base_angle)), np.cos(np.radians(base_angle)), 0])
            tip = across * start + toward_handle * rng.uniform(-20, 20) + [0, 40, z]
            handle = tip + toward_handle * rng.choice(lengths)
            if not tips or segment_distances(tip, handle, tips, handles).min() > THICKNESS_MM:
                tips.append(tip)
                handles.append(handle)
        row += 1
    return tuple(Needle(as_point(t), as_point(h)) for t, h in zip(tips, handles, strict=True))


def axis_points(needle: Needle, bow_mm: float, fractions: np.ndarray) -> np.ndarray:
    """Points (n, 3) on a needle bowed in its slice by ``bow_mm`` at the middle."""
    tip, handle = np.array(needle.tip_lps), np.array(needle.handle_lps)
    along = handle - tip
    across = np.array([-along[1], along[0], 0.0]) / np.hypot(along[0], along[1])
    arc = 4 * bow_mm * fractions * (1 - fractions)
    return tip + fractions[:, None] * along + arc[:, None] * across


def _render(
    rng: np.random.Generator, needles: tuple[Needle, ...], bows: np.ndarray, settings: Settings
) -> Volume:
    """An ellipse of tissue in air with noise, and every needle with partial volume over slices."""
    ends = np.array([[n.tip_lps, n.handle_lps] for n in needles]).reshape(-1, 3)
    low = ends.min(axis=0) - [30, 30, 2.2 * settings.slice_mm]
    high = ends.max(axis=0) + [30, 30, 2.2 * settings.slice_mm]
    spacing = np.array([settings.pixel_mm, settings.pixel_mm, settings.slice_mm])
    columns, rows, slices = np.ceil((high - low) / spacing).astype(int) + 1
    x = low[0] + settings.pixel_mm * np.arange(columns)
    y = low[1] + settings.pixel_mm * np.arange(rows)
    body = (x[None] / 180) ** 2 + ((y[:, None] - 60) / 110) ** 2 < 1
    metal = np.zeros((slices, rows, columns), np.float32)
    for needle, bow in zip(needles, bows, strict=True):
        _add_needle(rng, metal, needle, bow, low, settings)
    image = np.where(body, 40.0, -1000.0) + _texture(rng, metal.shape, settings.noise_hu) + metal
    array = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    return Volume(array, tuple(spacing.tolist()), tuple(low.tolist()), "synthetic case")


def _texture(rng: np.random.Generator, shape: tuple[int, ...], noise_hu: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=shape).astype(np.float32), (0, 0.7, 0.7))
    return noise * (noise_hu / noise.std())


def _add_needle(
    rng: np.random.Generator,
    metal: np.ndarray,
    needle: Needle,
    bow: float,
    low: np.ndarray,
    settings: Settings,
) -> None:
    step = 0.4
    count = int(needle.length_mm / step)
    fractions = (np.arange(count) + 0.5) / count
    brightness = np.ones(count)
    if rng.random() < settings.fading_share:
        middle, width = rng.uniform(0.25, 0.75), rng.uniform(0.08, 0.25)
        depth = rng.uniform(0.85, 0.97)
        brightness -= depth * np.exp(-(((fractions - middle) / width) ** 2))
    points = axis_points(needle, bow, fractions)
    _splat(metal, points, brightness * SHAFT_HU_MM * step, BLUR_MM, low, settings)
    hub = np.linspace(1 - 12 / needle.length_mm, 1 + 12 / needle.length_mm, 60)
    _splat(metal, axis_points(needle, bow, hub), np.full(60, 6000 * 0.4), 1.8, low, settings)


def _splat(
    metal: np.ndarray,
    points: np.ndarray,
    mass: np.ndarray,
    blur_mm: float,
    low: np.ndarray,
    settings: Settings,
) -> None:
    """Add Gaussian blobs in the slices, shared over slices by a softened box profile."""
    pixel = settings.pixel_mm
    position = (points - low) / [pixel, pixel, settings.slice_mm]
    reach = int(np.ceil(3 * blur_mm / pixel))
    offsets = np.arange(-reach, reach + 1)
    centre = np.rint(position[:, :2]).astype(int)
    away = (centre[:, :, None] + offsets - position[:, :2, None]) * pixel
    profile = np.exp(-0.5 * (away / blur_mm) ** 2) / (blur_mm * np.sqrt(2 * np.pi))
    patch = mass[:, None, None] * profile[:, 1, :, None] * profile[:, 0, None, :]
    row = centre[:, 1, None, None] + offsets[None, :, None]
    column = centre[:, 0, None, None] + offsets[None, None, :]
    inside = (row >= 0) & (row < metal.shape[1]) & (column >= 0) & (column < metal.shape[2])
    row, column = np.clip(row, 0, metal.shape[1] - 1), np.clip(column, 0, metal.shape[2] - 1)
    for index in range(metal.shape[0]):
        share = slice_share((index - position[:, 2]) * settings.slice_mm, settings.slice_mm)
        weight = share[:, None, None]
        used = share > 1e-3
        if used.any():
            added = (patch * weight * inside)[used]
            at = np.broadcast_to(row, patch.shape)[used], np.broadcast_to(column, patch.shape)[used]
            np.add.at(metal[index], at, added)


def slice_share(away_mm: np.ndarray, slice_mm: float, softness_mm: float = 0.8) -> np.ndarray:
    """Share of a point's mass that a slice at distance ``away_mm`` shows."""
    from scipy.special import erf

    scale = softness_mm * np.sqrt(2)
    upper, lower = (away_mm + slice_mm / 2) / scale, (away_mm - slice_mm / 2) / scale
    return 0.5 * (erf(upper) - erf(lower))


def _detect(
    rng: np.random.Generator,
    needles: tuple[Needle, ...],
    bows: np.ndarray,
    volume: Volume,
    settings: Settings,
) -> SliceEnds:
    rows: list[tuple[float, ...]] = []
    noise_mm = rng.uniform(*settings.noise_mm)
    angle_noise = rng.uniform(*settings.angle_noise_deg)
    for needle, bow in zip(needles, bows, strict=True):
        for kind in (HANDLE, TIP):
            if rng.random() >= settings.missed:
                rows += _seen(rng, needle, bow, kind, volume, (noise_mm, angle_noise))
    for kind in (HANDLE, TIP):
        for _ in range(rng.binomial(max(len(needles), 10), settings.false)):
            rows.append(_invented(rng, kind, needles, volume))
    table = np.array(rows, float).reshape(-1, 6)
    kind, column, row, slice_index, angle, score = table.T
    return SliceEnds(kind.astype(int), column, row, slice_index.astype(int), angle, score)


def _seen(
    rng: np.random.Generator,
    needle: Needle,
    bow: float,
    kind: int,
    volume: Volume,
    noise: tuple[float, float],
) -> list[tuple[float, ...]]:
    """One detection on each slice that shows this end; the slices share part of the error."""
    near, inner = axis_points(needle, bow, np.array([0.0, 0.03] if kind == TIP else [1.0, 0.97]))
    toward = inner - near
    angle = np.degrees(np.arctan2(-toward[1], toward[0]))
    noise_mm, angle_noise = noise
    shared = rng.normal(0, noise_mm * 0.7, 2)
    rows = []
    slice_mm = volume.spacing_mm[2]
    z = volume.origin_lps[2] + slice_mm * np.arange(volume.array.shape[0])
    for index, share in enumerate(slice_share(z - near[2], slice_mm)):
        if share * SHAFT_HU_MM / 2 > VISIBLE_HU * 2:
            xy = near[:2] + shared + rng.normal(0, noise_mm * 0.7, 2)
            column, row = (xy - volume.origin_lps[:2]) / volume.spacing_mm[:2]
            score = np.clip(rng.normal(0.35 + 0.5 * share, 0.1), 0.2, 1.0)
            rows.append((kind, column, row, index, angle + rng.normal(0, angle_noise), score))
    return rows


def _invented(
    rng: np.random.Generator, kind: int, needles: tuple[Needle, ...], volume: Volume
) -> tuple[float, ...]:
    """A false end: half of them on a needle's shaft, in its direction; half anywhere."""
    if rng.random() < 0.5:
        needle = needles[rng.integers(len(needles))]
        fraction = np.array([rng.uniform(0.1, 0.9)])
        point = axis_points(needle, 0.0, fraction)[0]
        along = np.subtract(needle.handle_lps, needle.tip_lps) * (1 if kind == TIP else -1)
        angle = np.degrees(np.arctan2(-along[1], along[0])) + rng.normal(0, 3)
        column, row, index = volume.lps_to_ijk(point)
    else:
        slices, rows, columns = volume.array.shape
        column, row, index = rng.uniform(0, [columns - 1, rows - 1, slices - 1])
        angle = rng.uniform(-180, 180)
    return kind, column, row, int(round(index)), angle, float(rng.uniform(0.2, 0.6))


def add_ends(ends: Ends, wanted: int, seed: int) -> Ends:
    """Fill up to ``wanted`` with copies of real ones, moved along and across their needles."""
    rng = np.random.default_rng(seed)
    missing = wanted - len(ends)
    copied = rng.integers(len(ends), size=missing)
    along = direction_of_angle(ends.angle_deg[copied])
    moved = ends.points_lps[copied].copy()
    moved[:, :2] += along * rng.uniform(-30, 30, (missing, 1)) + rng.normal(0, 3, (missing, 2))
    turned = ends.angle_deg[copied] + rng.normal(0, 3, missing)
    return Ends(
        np.concatenate((ends.points_lps, moved)),
        np.concatenate((ends.angle_deg, turned)),
        np.concatenate((ends.score, np.full(missing, 0.3))),
        np.concatenate((ends.slice_count, np.ones(missing, int))),
    )
