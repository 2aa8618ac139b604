"""Procedural pelvis: skin, fat, muscle, bones, bowel and bladder as HU on a CT grid.

Shapes are implicit functions, negative inside, roughly in mm. The origin is midway between the hip
joints; x points to the patient's left, y to the back, z to the head (LPS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from needle_backend.core.settings import draw
from needle_backend.ct.training.couches import add_couch
from needle_backend.ct.training.settings import PatientSettings
from needle_backend.ct.training.splat import Grid

AIR_HU, FAT_HU, MUSCLE_HU = -1000.0, -95.0, 52.0
BONE_HU = 250.0
"""Brighter than this is bone, where there is no metal."""
PROCEDURAL = "procedural pelvis"
"""Name of a background that is no real CT."""

_STREAM = 4
"""What was added to patients later is drawn apart, so that older settings make the same cases."""


@dataclass(frozen=True)
class Background:
    """What the needles are put into.

    Attributes
    ----------
    hu
        [slice, row, column], float32.
    body
        Boolean mask of the same shape: inside the skin.
    open_side
        Unit vector in the axial plane from the couch through the patient: where needles come from.
    noise_scale
        1 for ideal anatomy, near 0 for a real scan that brings its own noise.
    name
        Where it comes from, for the truth file.
    """

    hu: np.ndarray
    body: np.ndarray
    open_side: np.ndarray
    noise_scale: float
    name: str


def body_spot(background: Background, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Draw a point in the body, LPS mm."""
    k = int(rng.integers(grid.shape[0]))
    rows, columns = np.nonzero(background.body[k])
    if len(rows) == 0:
        return np.asarray(grid.origin_lps, float)
    pick = int(rng.integers(len(rows)))
    return np.array([columns[pick], rows[pick], k]) * grid.spacing_mm + grid.origin_lps


@dataclass(frozen=True)
class Patient:
    """One patient's sizes and what lies in and under it, drawn from the settings.

    ``bladder_layer_mm`` is how far below the bladder's middle heavier contrast begins that has sunk
    towards the couch; ``bladder_layer_hu`` is what it reads.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    couch_side: int
    muscle_hu: float
    contrast: bool
    scale: float
    roundness: float
    bladder: tuple[float, float, float]
    bladder_hu: float
    rectum_gas: float
    bone_hu: float
    rectum_hu: float = 15.0
    bladder_layer_mm: float = np.inf
    bladder_layer_hu: float = 0.0
    couch: str = "curved"

    @classmethod
    def drawn(cls, settings: PatientSettings, rng: np.random.Generator, seed: int) -> Patient:
        """Draw a patient; ``couch_side`` is +1 supine (couch at the back), -1 prone."""
        contrast = bool(rng.random() < settings.contrast_share)
        patient = cls(
            half_width_mm=draw(rng, settings.half_width_mm),
            half_depth_mm=draw(rng, settings.half_depth_mm),
            fat_mm=draw(rng, settings.fat_mm),
            couch_side=-1 if rng.random() < settings.prone_share else 1,
            muscle_hu=MUSCLE_HU + rng.normal(0, 6) + (20 if contrast else 0),
            contrast=contrast,
            scale=draw(rng, (0.88, 1.1)),
            roundness=draw(rng, (2.1, 2.8)),
            bladder=(draw(rng, (22, 48)), draw(rng, (18, 38)), draw(rng, (18, 40))),
            bladder_hu=draw(rng, (150, 500)) if contrast and rng.random() < 0.4 else 8.0,
            rectum_gas=draw(rng, (0, 1)),
            bone_hu=draw(rng, (500, 950)),
        )
        return patient._varied(settings, np.random.default_rng([seed, _STREAM]))

    def _varied(self, settings: PatientSettings, rng: np.random.Generator) -> Patient:
        """Draw the couch, and contrast in the rectum and at the bladder's floor."""
        couch = str(rng.choice(settings.couches))
        rectum_hu, layer_hu = draw(rng, (150, 900)), draw(rng, (200, 1200))
        layer_mm = draw(rng, (-0.3, 0.7)) * self.bladder[1]
        layered = rng.random() < settings.layered_bladder_share
        return replace(
            self,
            couch=couch,
            rectum_hu=rectum_hu if rng.random() < settings.rectal_contrast_share else 15.0,
            bladder_layer_mm=layer_mm if layered else np.inf,
            bladder_layer_hu=layer_hu,
        )


def pelvis(patient: Patient, grid: Grid, rng: np.random.Generator) -> Background:
    """Render a patient on a grid, the couch included."""
    x, y, z = grid.axes_mm()
    xx, yy = (axis.astype(np.float32) for axis in np.meshgrid(x, y))
    noise = _SmoothNoise(rng, z, grid.shape[1:])
    hu = np.empty(grid.shape, np.float32)
    body = np.empty(grid.shape, bool)
    loops = _bowel_loops(rng)
    for k, z_mm in enumerate(z):
        skin = _skin(patient, xx, yy, z_mm) + 6 * noise.at(0, k)
        body[k] = skin < 0
        hu[k] = _tissues(patient, skin, xx, yy, z_mm, noise, k, loops)
        below = patient.couch_side * yy - 0.86 * patient.half_depth_mm - 9
        add_couch(hu[k], body[k], patient.couch, xx, below)
    side = np.array([0.0, -float(patient.couch_side), 0.0])
    return Background(hu, body, side, 1.0, PROCEDURAL)


class _SmoothNoise:
    """Smooth random fields, (rows, columns) a slice, that also vary smoothly along z."""

    _CELLS_MM = (130, 34, 60, 14, 22)

    def __init__(self, rng: np.random.Generator, z: np.ndarray, plane: tuple[int, int]) -> None:
        self._plane = plane
        self._fields = []
        for cell in self._CELLS_MM:
            levels = max(2, int(np.ptp(z) / cell) + 2)
            cells = max(4, 480 // cell)
            coarse = rng.standard_normal((levels, cells, cells)).astype(np.float32)
            self._fields.append((coarse, np.linspace(0, levels - 1.001, len(z))))

    def at(self, index: int, k: int) -> np.ndarray:
        coarse, level = self._fields[index]
        low = int(level[k])
        part = level[k] - low
        mixed = (1 - part) * coarse[low] + part * coarse[low + 1]
        return cv2.resize(mixed, self._plane[::-1], interpolation=cv2.INTER_CUBIC)


def _superellipse(x: np.ndarray, y: np.ndarray, a: float, b: float, power: float) -> np.ndarray:
    ratio = (np.abs(x) / a) ** power + (np.abs(y) / b) ** power
    return (ratio ** (1 / power) - 1) * min(a, b)


def _ellipsoid(
    x: np.ndarray, y: np.ndarray, z: float, centre: tuple[float, ...], radii: tuple[float, ...]
) -> np.ndarray:
    scaled = (
        ((x - centre[0]) / radii[0]) ** 2
        + ((y - centre[1]) / radii[1]) ** 2
        + ((z - centre[2]) / radii[2]) ** 2
    )
    return (np.sqrt(scaled) - 1) * min(radii)


def _capsule(
    x: np.ndarray,
    y: np.ndarray,
    z: float,
    start: tuple[float, ...],
    end: tuple[float, ...],
    radius: float,
) -> np.ndarray:
    axis = np.subtract(end, start)
    dx, dy, dz = x - start[0], y - start[1], z - start[2]
    along = np.clip((dx * axis[0] + dy * axis[1] + dz * axis[2]) / (axis @ axis), 0, 1)
    gap = (dx - along * axis[0]) ** 2 + (dy - along * axis[1]) ** 2 + (dz - along * axis[2]) ** 2
    return np.sqrt(gap) - radius


def _smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b + (a - b) * h - width * h * (1 - h)


def _skin(patient: Patient, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Signed distance to the skin: a trunk that parts into two thighs below the perineum."""
    waist = 1 - 0.10 * np.clip((z - 60) / 80, 0, 1)
    trunk = _superellipse(
        x, y, patient.half_width_mm * waist, patient.half_depth_mm, patient.roundness
    )
    cleft = 28 * np.exp(-((x / 9) ** 2)) * np.clip((60 - z) / 60, 0, 1)
    trunk = trunk + np.where(y > 0, cleft * np.clip(y / patient.half_depth_mm, 0, 1), 0)
    down = np.clip((-30 - z) / 50, 0, 1)
    if down > 0:
        middle = 0.5 * patient.half_width_mm + 6 * down
        thigh = _superellipse(
            np.abs(x) - middle, y, 0.49 * patient.half_width_mm, 0.88 * patient.half_depth_mm, 2.2
        )
        trunk = trunk * (1 - down) + thigh * down if down < 1 else thigh
    flat = patient.couch_side * y - 0.86 * patient.half_depth_mm
    return -_smooth_min(-trunk, -flat, 12)


def _bones(patient: Patient, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Signed distance to the outer surface of the pelvic bones, both sides by mirroring x."""
    s = patient.scale
    ax = np.abs(x) / s
    y, z = y / s, z / s
    parts = [
        _ellipsoid(ax, y, z, (90, 0, 0), (24, 24, 24)),
        _capsule(ax, y, z, (92, 0, 0), (138, 12, -28), 14),
        _capsule(ax, y, z, (138, 12, -30), (128, 6, -150), 15),
        _ellipsoid(ax, y, z, (140, 14, -18), (17, 19, 24)),
        _capsule(ax, y, z, (70, 12, 10), (60, 42, -58), 13),
        _capsule(ax, y, z, (62, 38, -45), (56, 44, -62), 16),
        _capsule(ax, y, z, (66, -14, 2), (10, -48, -30), 8),
        _capsule(ax, y, z, (10, -48, -30), (50, 30, -66), 7),
        _capsule(ax, y, z, (72, 20, 22), (58, 62, 66), 15),
        _sacrum(ax, y, z),
    ]
    socket = np.abs(_ellipsoid(ax, y, z, (90, 0, 2), (33, 33, 33))) - 4.0
    parts.append(np.maximum(socket, ax - 96 + 0.3 * y))
    if z > 15:
        parts.append(_iliac_wing(ax, y, z))
    if z > 80:
        parts.append(_ellipsoid(ax, y, 0.0, (0, 22, 0), (27, 21, 40)))
    distance = parts[0]
    for part in parts[1:]:
        distance = np.minimum(distance, part)
    return distance * s


def _iliac_wing(ax: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """A thin plate from the sacroiliac joint forwards and outwards, wider higher up."""
    up = np.clip((z - 15) / 95, 0, 1)
    front_x, front_y = 88 + 34 * up, 6 - 38 * up
    back_x, back_y = 58 - 12 * up, 58 + 14 * up
    return _capsule(ax, y, 0.0, (front_x, front_y, 0), (back_x, back_y, 0), 8.5 - 2.5 * up)


def _sacrum(ax: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    middle = 82 - 0.004 * (z - 30) ** 2
    size = np.clip((z + 30) / 120, 0.05, 1)
    width, depth = 12 + 42 * size, 8 + 13 * size
    if z < -25 or z > 120:
        return np.full_like(ax, 50.0)
    plate = _ellipsoid(ax, y, 0.0, (0, middle, 0), (width, depth, 40))
    foramen = np.hypot(ax - 0.42 * width, y - middle) - 4.5
    canal = np.hypot(ax, y - middle - 0.55 * depth) - 6
    return np.maximum(plate, -np.minimum(foramen, canal))


def _bowel_loops(rng: np.random.Generator) -> list[tuple[tuple[float, ...], float, float]]:
    loops = []
    for _ in range(int(rng.integers(5, 12))):
        centre = (rng.uniform(-70, 70), rng.uniform(-60, 25), rng.uniform(15, 130))
        kind = rng.choice([-850.0, 30.0, 45.0, 250.0], p=[0.25, 0.35, 0.3, 0.1])
        loops.append((centre, float(rng.uniform(9, 22)), float(kind)))
    return loops


def _tissues(
    patient: Patient,
    skin: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    z: float,
    noise: _SmoothNoise,
    k: int,
    loops: list[tuple[tuple[float, ...], float, float]],
) -> np.ndarray:
    """HU of one slice, from the outside in."""
    fine, middle = noise.at(3, k), noise.at(1, k)
    hu = np.where(skin < 0, FAT_HU + 7 * noise.at(4, k), AIR_HU).astype(np.float32)
    hu[(skin < 0) & (skin > -2.2)] = -10.0
    fat = patient.fat_mm * (1 + 0.35 * noise.at(2, k) + 0.5 * np.clip(y / 100, -0.4, 1))
    muscle = skin < -np.maximum(fat, 4)
    hu[muscle] = (patient.muscle_hu + 5 * middle + 3 * fine)[muscle]
    septa = muscle & (np.abs(middle + 0.3 * fine) < 0.05)
    hu[septa] = FAT_HU + 55
    cavity = _ellipsoid(x, y, z, (0, -4, 40), (72, 66, 130)) + 5 * middle
    hu[muscle & (cavity < 0)] = (FAT_HU + 12 * fine)[muscle & (cavity < 0)]
    _paint_organs(hu, patient, x, y, z, muscle, fine, loops)
    bone = _bones(patient, x, y, z) + 1.0 * fine
    bone = np.where(skin < -6, bone, 50)
    edge = np.clip(0.5 - bone, 0, 1)
    cortex = 2.6 + 0.8 * middle
    inner = np.clip(-bone - cortex, 0, 1)
    marrow = 0.28 * patient.bone_hu + 45 * fine + 25 * middle
    bone_hu = (1 - inner) * (patient.bone_hu + 120 * middle) + inner * marrow
    return (1 - edge) * hu + edge * bone_hu


def _paint_organs(
    hu: np.ndarray,
    patient: Patient,
    x: np.ndarray,
    y: np.ndarray,
    z: float,
    inside: np.ndarray,
    fine: np.ndarray,
    loops: list[tuple[tuple[float, ...], float, float]],
) -> None:
    def paint(distance: np.ndarray, value: float, texture: float) -> None:
        mask = inside & (distance < 0)
        hu[mask] = (value + texture * fine)[mask]

    for centre, radius, value in loops:
        wall = _ellipsoid(x, y, z, centre, (1.5 * radius, radius, 1.2 * radius)) + 1.5 * fine
        paint(wall, 45, 6)
        paint(wall + 3, value, 10 if value > -500 else 4)
    vessel_hu = 190.0 if patient.contrast else 45.0
    for side in (-1, 1):
        paint(_capsule(x, y, z, (side * 74, -46, -40), (side * 28, 26, 130), 5.5), vessel_hu, 3)
        paint(_capsule(x, y, z, (side * 64, -40, -40), (side * 34, 34, 130), 7), vessel_hu - 25, 3)
    prostate = _ellipsoid(x, y, z, (0, -6, -18), (25, 20, 24)) + 2 * fine
    paint(prostate, 48, 6)
    bladder = _ellipsoid(x, y, z, (0, -26, 26), patient.bladder) + 1.5 * fine
    paint(bladder - 3, 40, 4)
    paint(bladder, patient.bladder_hu, 2)
    sunk = patient.couch_side * (y + 26) - patient.bladder_layer_mm
    paint(np.maximum(bladder, -sunk), patient.bladder_layer_hu, 2)
    rectum = _ellipsoid(x, y, 0.0, (0, 36 + 0.05 * z, 0), (17, 15, 40)) + 2 * fine
    if -60 < z < 90:
        paint(rectum, 42, 6)
        paint(rectum + 4, patient.rectum_hu, 60)
        paint(rectum + 4 + 12 * (1 - patient.rectum_gas), -900, 5)
