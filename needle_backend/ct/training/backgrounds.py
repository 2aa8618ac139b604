"""Real CTs without needles as backgrounds: restacked, mirrored, laid into a full field of view."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from needle_backend.core.errors import InputError
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.training.anatomy import AIR_HU, Background
from needle_backend.ct.training.splat import Grid

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
_SKIN_HU = -350


def find_backgrounds(folder: Path) -> tuple[Path, ...]:
    """List the CT files of a folder in the order of their names.

    Raises
    ------
    InputError
        When the folder is missing or holds no CT.
    """
    files = sorted(p for p in folder.glob("*") if p.name.endswith(_SUFFIXES))
    if not files:
        raise InputError(f"{folder} holds no CT ({', '.join(_SUFFIXES)}); give a folder of CTs.")
    return tuple(files)


@lru_cache(maxsize=32)
def _read(path: Path) -> Volume:
    return read_volume(path)


def real_background(path: Path, grid: Grid, rng: np.random.Generator) -> tuple[Background, Grid]:
    """Lay a random stretch of a real CT into a grid of air.

    The stretch is mirrored left to right at random. Returns the background and the grid cut down
    to the slices that the CT could fill.
    """
    volume = _read(path)
    hu = volume.array.astype(np.float32)
    if rng.random() < 0.5:
        hu = hu[:, :, ::-1]
    hu = _restacked(hu, volume.spacing_mm[2], grid, rng)
    grid = Grid((len(hu), *grid.shape[1:]), grid.spacing_mm, grid.origin_lps)
    scale = [volume.spacing_mm[axis] / grid.spacing_mm[axis] for axis in (0, 1)]
    size = [min(grid.shape[2 - axis], round(hu.shape[2 - axis] * scale[axis])) for axis in (0, 1)]
    out = np.full(grid.shape, AIR_HU, np.float32)
    side = _open_side(hu)
    column, row = _corner(size, grid, side, rng)
    for k, plane in enumerate(hu):
        resized = cv2.resize(plane, None, fx=scale[0], fy=scale[1], interpolation=cv2.INTER_LINEAR)
        out[k, row : row + size[1], column : column + size[0]] = resized[: size[1], : size[0]]
    return Background(out, _body_mask(out), side, 0.15, path.name), grid


def _restacked(hu: np.ndarray, slice_mm: float, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Average a stretch of thin slices into slices of the grid's thickness."""
    thick = grid.spacing_mm[2]
    possible = int(len(hu) * slice_mm / thick)
    count = max(2, min(grid.shape[0], possible))
    free = len(hu) * slice_mm - count * thick
    start = rng.uniform(0, max(free, 0))
    out = []
    for k in range(count):
        edges = np.array([start + k * thick, start + (k + 1) * thick]) / slice_mm
        index = np.arange(int(edges[0]), min(int(np.ceil(edges[1])), len(hu)))
        share = np.minimum(index + 1, edges[1]) - np.maximum(index, edges[0])
        out.append(np.tensordot(share / share.sum(), hu[index], 1))
    return np.asarray(out, np.float32)


def _open_side(hu: np.ndarray) -> np.ndarray:
    """The direction in which the skin is nearest to the picture's edge with air beyond it."""
    air = hu[len(hu) // 2] < _SKIN_HU
    borders = {
        (0.0, -1.0): air[:6].mean(),
        (0.0, 1.0): 0.6 * air[-6:].mean(),
        (-1.0, 0.0): air[:, :6].mean(),
        (1.0, 0.0): air[:, -6:].mean(),
    }
    x, y = max(borders, key=lambda side: borders[side])
    return np.array([x, y, 0.0])


def _corner(
    size: list[int], grid: Grid, side: np.ndarray, rng: np.random.Generator
) -> tuple[int, int]:
    """Where the picture's corner goes: pushed away from the side where the hubs need room."""
    corner = []
    for axis in (0, 1):
        room = grid.shape[2 - axis] - size[axis]
        middle = 0.5 - 0.42 * side[axis]
        corner.append(int(np.clip(room * middle + rng.normal(0, 12), 0, room)))
    return corner[0], corner[1]


def _body_mask(hu: np.ndarray) -> np.ndarray:
    """The largest thing denser than air on each slice, holes filled (the couch falls away)."""
    body = np.zeros(hu.shape, bool)
    for k, plane in enumerate(hu):
        solid = cv2.morphologyEx(
            (plane > _SKIN_HU).astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)
        )
        count, parts, stats, _ = cv2.connectedComponentsWithStats(solid)
        if count > 1:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            body[k] = ndimage.binary_fill_holes(parts == largest)
    return body
