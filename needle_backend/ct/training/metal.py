"""Turn a planned implant, and other metal a patient may carry, into points and voxels."""

from __future__ import annotations

import numpy as np

from needle_backend.core.settings import draw
from needle_backend.ct.training.anatomy import AIR_HU, Background, body_spot
from needle_backend.ct.training.hubs import hub_points
from needle_backend.ct.training.implants import Implant, ImplantNeedle, Template
from needle_backend.ct.training.settings import PatientSettings
from needle_backend.ct.training.splat import Grid, Points, splat, tube

_STEP_MM = 0.3
_SEED_HU, _SEED_LENGTH_MM, _SEED_RADIUS_MM = 7000.0, 4.5, 0.4


def shaft_axis(needle: ImplantNeedle, step_mm: float = _STEP_MM) -> np.ndarray:
    """Points of the (bowed) axis from the tip to the handle, (n, 3) LPS mm."""
    length = float(np.linalg.norm(needle.handle - needle.tip))
    part = np.linspace(0, 1, max(2, round(length / step_mm)))[:, None]
    return needle.tip + part * (needle.handle - needle.tip) + 4 * part * (1 - part) * needle.bow_lps


def shaft_points(needle: ImplantNeedle) -> Points:
    """The metal shaft, its strength varying along it."""
    axis = shaft_axis(needle)
    places = np.linspace(0, 1, len(needle.strength))
    strength = np.interp(np.linspace(0, 1, len(axis)), places, needle.strength)
    if needle.point_mm > 0:
        from_tip_mm = np.linalg.norm(axis - needle.tip, axis=1)
        strength = strength * np.minimum(from_tip_mm / needle.point_mm, 1.0)
    return tube(axis, needle.radius_mm, needle.metal_hu * strength)


def render_implant(implant: Implant, grid: Grid) -> np.ndarray:
    """HU that needles, hubs and seeds add, [slice, row, column] float32."""
    out = np.zeros(grid.shape, np.float32)
    for needle in implant.needles:
        splat(shaft_points(needle), grid, out)
        splat(hub_points(needle), grid, out)
    for centre, direction in implant.seeds:
        ends = centre + np.outer([-0.5, 0.5], direction) * _SEED_LENGTH_MM
        splat(tube(np.linspace(*ends, 15), _SEED_RADIUS_MM, _SEED_HU), grid, out)
    return out


def place_template(template: Template, background: Background, grid: Grid) -> None:
    """Lay the guide plate into the air around the patient, in place."""
    x, y, z = grid.axes_mm()
    xx, yy = np.meshgrid(x, y)
    lateral = np.cross(template.normal, [0.0, 0.0, 1.0])
    lateral /= np.linalg.norm(lateral)
    upward = np.cross(lateral, template.normal)
    for k, z_mm in enumerate(z):
        offset = np.stack([xx, yy, np.full_like(xx, z_mm)], -1) - template.centre
        along, u, v = (offset @ axis for axis in (template.normal, lateral, upward))
        plate = (along > 0) & (along < template.thickness_mm)
        plate &= (np.abs(u) < template.half_size_mm) & (np.abs(v) < 0.8 * template.half_size_mm)
        holes = (np.abs((u + 2.5) % 5 - 2.5) < 0.9) & (np.abs((v + 2.5) % 5 - 2.5) < 1.2)
        solid = plate & ~background.body[k]
        background.hu[k][solid] = np.where(holes, 0.5 * (template.hu + AIR_HU), template.hu)[solid]


def other_metal(
    patient: PatientSettings, background: Background, grid: Grid, rng: np.random.Generator
) -> np.ndarray:
    """Draw metal that is no needle: a nail or prosthesis, clips, a catheter, wires on the skin."""
    out = np.zeros(grid.shape, np.float32)
    if rng.random() >= patient.other_metal_share:
        return out
    makers = (_nail, _clips, _wire, _screw)
    for maker in rng.permutation(len(makers))[: int(rng.integers(1, 4))]:
        for points in makers[int(maker)](background, grid, rng):
            splat(points, grid, out)
    return out


def _nail(background: Background, grid: Grid, rng: np.random.Generator) -> list[Points]:
    """A thick rod, mostly along the body: a femoral nail or the stem of a prosthesis."""
    centre = body_spot(background, grid, rng)
    direction = np.array([rng.normal(0, 0.2), rng.normal(0, 0.2), 1.0])
    ends = centre + np.outer([-1, 1], direction) * draw(rng, (25, 120))
    rod = tube(np.linspace(*ends, 260), draw(rng, (3, 6.5)), draw(rng, (2500, 7000)), rings=5)
    return [rod]


def _screw(background: Background, grid: Grid, rng: np.random.Generator) -> list[Points]:
    """A bone screw or pin, 30-110 mm long, any direction, wholly in the body."""
    centre = body_spot(background, grid, rng)
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    ends = centre + np.outer([-0.5, 0.5], direction) * draw(rng, (30, 110))
    return [tube(np.linspace(*ends, 200), draw(rng, (1.2, 3.5)), draw(rng, (2500, 7000)), rings=2)]


def _clips(background: Background, grid: Grid, rng: np.random.Generator) -> list[Points]:
    """Surgical clips: short bright bits, scattered."""
    centre = body_spot(background, grid, rng)
    clips = []
    for _ in range(int(rng.integers(2, 12))):
        direction = rng.standard_normal(3)
        direction *= draw(rng, (2, 5)) / np.linalg.norm(direction)
        ends = centre + rng.normal(0, 22, 3) + np.outer([-1, 1], direction)
        clips.append(tube(np.linspace(*ends, 25), 0.5, draw(rng, (3000, 8000))))
    return clips


def _wire(background: Background, grid: Grid, rng: np.random.Generator) -> list[Points]:
    """A curved wire or catheter, in the body or over it."""
    wires = []
    for _ in range(int(rng.integers(1, 4))):
        start = body_spot(background, grid, rng)
        if rng.random() < 0.5:
            start = start + draw(rng, (20, 120)) * background.open_side
        heading = rng.standard_normal(3) * (1, 1, 0.4)
        path = [start]
        for _ in range(int(rng.integers(150, 500))):
            heading = heading + rng.normal(0, 0.06, 3)
            heading /= np.linalg.norm(heading)
            path.append(path[-1] + 0.6 * heading)
        strength = draw(rng, (400, 6000))
        radius = draw(rng, (0.3, 1.0))
        pieces = [np.asarray(path[i : i + 12]) for i in range(0, len(path) - 12, 11)]
        wires += [tube(piece, radius, strength) for piece in pieces]
    return wires
