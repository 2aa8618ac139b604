"""Put tip patches into needle-free images by Poisson editing: labelled images without labelling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.runner import Runner, run_here
from needle_backend.us.sector import find_sector
from needle_backend.us.training.backgrounds import find_backgrounds, read_background
from needle_backend.us.training.coco_files import IMAGES, LabelledImage, as_boxes
from needle_backend.us.training.patches import PADDING_PX, read_grey

_REFERENCE_PX = 640
_LARGEST_DEVIATION_SD = 2.0

_list_images = lru_cache(maxsize=4)(find_backgrounds)

Normal = tuple[float, float]
"""Mean and standard deviation."""


@dataclass(frozen=True)
class FusionSettings:
    """Sizes and places of the tips, as published (Wang et al. 2025); their code has other spreads.

    Attributes
    ----------
    height_px, width_px
        Of the box around a tip in an image whose longer side has 640 pixels, mean and standard
        deviation (code: 3 and 5), cut off at two deviations.
    central_share
        Tips lie in the central part of the sector's rectangle that has this share of its width
        and height (code: 0.6).
    """

    tips_per_image: int = 3
    height_px: Normal = (20.0, 6.0)
    width_px: Normal = (36.0, 10.0)
    central_share: float = 1.0


@dataclass(frozen=True)
class FusionOrder:
    """What to fuse: images ``0`` .. ``count - 1`` of one seed, from two folders of images."""

    backgrounds: Path
    tips: Path
    output: Path
    count: int
    seed: int
    settings: FusionSettings = field(default_factory=FusionSettings)

    def facts(self) -> dict[str, Any]:
        """Return what made the set, for its ``annotations.json``."""
        return {
            "what": "generated tips fused into needle-free images",
            "backgrounds": self.backgrounds.name,
            "tips": self.tips.name,
            "seed": self.seed,
            "settings": asdict(self.settings),
        }


@dataclass(frozen=True)
class Placement:
    """A patch, already resized, and where its upper left pixel goes."""

    patch: np.ndarray
    left: int
    top: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, width, height without the padding; the centre is that of the patch's pixels."""
        rows, columns = self.patch.shape
        return (
            self.left + PADDING_PX - 0.5,
            self.top + PADDING_PX - 0.5,
            columns - 2.0 * PADDING_PX,
            rows - 2.0 * PADDING_PX,
        )


def fuse_images(order: FusionOrder, runner: Runner = run_here) -> Iterator[LabelledImage]:
    """Write ``images/fused_00000.png`` and on, yielding each; files already there are kept.

    Raises
    ------
    InputError
        When a folder is empty, an image cannot be read, or its sector has no room for a tip.
    """
    _list_images.cache_clear()
    for folder in (order.backgrounds, order.tips):
        _list_images(folder)
    for outcome in runner(partial(make_fused, order), range(order.count)):
        yield outcome.value()


def make_fused(order: FusionOrder, number: int) -> LabelledImage:
    """Place the tips of one image, and write it unless it is already there."""
    rng = np.random.default_rng([order.seed, number])
    source = _drawn(order.backgrounds, rng)
    background = read_background(source)
    tips = [read_grey(_drawn(order.tips, rng)) for _ in range(order.settings.tips_per_image)]
    placements = place(find_sector(background).mask, tips, order.settings, rng)
    if not placements:
        raise InputError(f"{source}: its imaging region has no room for a tip; leave it out.")
    path = order.output / IMAGES / f"fused_{number:05d}.png"
    if not path.exists():
        with written_whole(path) as temporary:
            cv2.imwrite(str(temporary), blend(background, placements))
    rows, columns = background.shape
    boxes = as_boxes([placement.box for placement in placements])
    return LabelledImage(path, columns, rows, boxes, {"background": source.name})


def place(
    sector: np.ndarray,
    tips: list[np.ndarray],
    settings: FusionSettings,
    rng: np.random.Generator,
) -> list[Placement]:
    """Give tips sizes and places: inside the sector, apart from each other, uniformly.

    Parameters
    ----------
    sector
        bool, (rows, columns): the imaging region.
    tips
        Patches with their padding, uint8.

    Returns
    -------
    list of Placement
        Fewer than tips where there is no room for all.
    """
    scale = max(sector.shape) / _REFERENCE_PX
    free = sector & _central(sector, settings.central_share)
    placements: list[Placement] = []
    for tip in tips:
        height, width = (
            round(scale * _size(bounds, rng)) + 2 * PADDING_PX
            for bounds in (settings.height_px, settings.width_px)
        )
        corners = np.flatnonzero(_fits(free, height, width))
        if len(corners) == 0:
            continue
        top, left = np.unravel_index(rng.choice(corners), free.shape)
        patch = cv2.resize(tip, (width, height), interpolation=cv2.INTER_AREA)
        placements.append(Placement(patch, int(left), int(top)))
        free[top : top + height, left : left + width] = False
    return placements


def blend(background: np.ndarray, placements: list[Placement]) -> np.ndarray:
    """Return a copy of a grey image with patches cloned in (Perez et al. 2003, normal clone)."""
    image = background.copy()
    for placement in placements:
        rows, columns = placement.patch.shape
        top, left = max(placement.top - 1, 0), max(placement.left - 1, 0)
        # Only the surroundings go through the solver: the rest cannot change, and takes long.
        around = image[top : placement.top + rows + 1, left : placement.left + columns + 1]
        centre = (placement.left - left + columns // 2, placement.top - top + rows // 2)
        around[:] = cv2.seamlessClone(
            cv2.cvtColor(placement.patch, cv2.COLOR_GRAY2BGR),
            cv2.cvtColor(around, cv2.COLOR_GRAY2BGR),
            np.full((rows, columns), 255, np.uint8),
            centre,
            cv2.NORMAL_CLONE,
        )[..., 0]
    return image


def _size(bounds: Normal, rng: np.random.Generator) -> float:
    mean, deviation = bounds
    return mean + deviation * float(
        np.clip(rng.normal(), -_LARGEST_DEVIATION_SD, _LARGEST_DEVIATION_SD)
    )


def _central(sector: np.ndarray, share: float) -> np.ndarray:
    """Central part of the rectangle around the sector."""
    inside = np.zeros_like(sector)
    spans = []
    for axis in (1, 0):
        used = np.flatnonzero(sector.any(axis))
        first, end = (used[0], used[-1] + 1) if len(used) else (0, 0)
        margin = round((end - first) * (1 - share) / 2)
        spans.append(slice(first + margin, end - margin))
    inside[tuple(spans)] = True
    return inside


def _fits(free: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where a rectangle's upper left pixel may lie so that all of it is free, (rows, columns)."""
    fits = np.zeros_like(free)
    rows, columns = free.shape
    if height <= rows and width <= columns:
        taken = cv2.integral((~free).astype(np.uint8))
        count = (
            taken[height:, width:]
            - taken[:-height, width:]
            - taken[height:, :-width]
            + taken[:-height, :-width]
        )
        fits[: rows - height + 1, : columns - width + 1] = count == 0
    return fits


def _drawn(folder: Path, rng: np.random.Generator) -> Path:
    paths = _list_images(folder)
    return paths[int(rng.integers(len(paths)))]
