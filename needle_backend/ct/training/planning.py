"""Plan an implant: where needles, hubs, seeds and the template lie in a patient.

Needles come in parallel groups and fans from the side away from the couch, nearly in the axial
plane (Xiao et al. 2025, figure 1): tips in the body, hubs in air.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from needle_backend.core.settings import draw, draw_int
from needle_backend.ct.training.anatomy import BONE_HU, Background
from needle_backend.ct.training.hubs import MATERIALS_HU
from needle_backend.ct.training.implants import (
    CLOSE_MM,
    Implant,
    ImplantNeedle,
    Template,
    apart,
    close_to_another,
)
from needle_backend.ct.training.settings import NeedleSettings, PatientSettings
from needle_backend.ct.training.splat import Grid

_HUB_CLEARANCE_MM = 18.0
_STREAM = 3
"""What was added to implants later is drawn apart, so that older settings make the same cases."""
_BESIDE_BONE_MM = (1.5, 3.5)
"""Where bone is looked for around a tip."""


class ImplantPlanner:
    """Draws implants that a patient and a grid can hold."""

    def __init__(
        self,
        needles: NeedleSettings,
        patient: PatientSettings,
        background: Background,
        grid: Grid,
        rng: np.random.Generator,
        seed: int,
    ) -> None:
        self._settings = needles
        self._patient = patient
        self._background = background
        self._grid = grid
        self._rng = rng
        self._late_rng = np.random.default_rng([seed, _STREAM])
        self._look = _NeedleLook.drawn(needles, rng).varied(needles, self._late_rng)

    def plan(self) -> Implant:
        """Draw one implant; needles that do not fit are left out."""
        rng, settings = self._rng, self._settings
        wanted = draw_int(rng, settings.count)
        if rng.random() < settings.needle_free_share:
            wanted = 0
        needles: list[ImplantNeedle] = []
        groups = int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2])) if wanted > 5 else 1
        for group in range(groups):
            share = (wanted - len(needles)) // (groups - group)
            needles += self._group(share, needles)
        for _ in range(4):
            if len(needles) < wanted:
                needles += self._group(wanted - len(needles), needles)
        needles = self._with_tips_beside_bone(self._with_close_partners(needles))
        return Implant(tuple(needles), self._seeds(needles), self._template(needles))

    def _group(self, wanted: int, others: list[ImplantNeedle]) -> list[ImplantNeedle]:
        """Try targets and directions until a group of ``wanted`` needles fits, or keep the best."""
        best: list[ImplantNeedle] = []
        for _ in range(12):
            found = self._one_group(wanted, others)
            if len(found) > len(best):
                best = found
            if len(best) >= wanted:
                break
        return best

    def _one_group(self, wanted: int, others: list[ImplantNeedle]) -> list[ImplantNeedle]:
        rng, settings = self._rng, self._settings
        target = self._target()
        angle = np.deg2rad(np.clip(rng.normal(0, 35), -80, 80))
        side = self._background.open_side
        across = np.array([-side[1], side[0], 0.0])
        outward = np.cos(angle) * side + np.sin(angle) * across
        lateral = np.array([-outward[1], outward[0], 0.0])
        spacing = draw(rng, settings.spacing_mm)
        fan = rng.normal(0, 0.012) if rng.random() < 0.6 else 0.0
        tilt = np.deg2rad(self._tilt())
        columns = max(1, round(np.sqrt(wanted * draw(rng, (0.8, 2.5)))))
        rows = int(np.ceil(wanted / columns))
        depth_jitter = draw(rng, (2, 18))
        made: list[ImplantNeedle] = []
        for index in rng.permutation(rows * columns):
            if len(made) == wanted:
                break
            row, column = divmod(int(index), columns)
            shift = (column - (columns - 1) / 2) * spacing + rng.normal(0, 1.2)
            rise = (row - (rows - 1) / 2) * max(spacing, 5.0) + rng.normal(0, 1.5)
            turn = fan * shift + rng.normal(0, 0.012)
            own_tilt = np.clip(tilt + rng.normal(0, 0.025), *np.deg2rad([-1, 1]) * self._max_tilt)
            direction = np.cos(turn) * outward + np.sin(turn) * lateral
            direction = np.cos(own_tilt) * direction + np.sin(own_tilt) * np.array([0, 0, 1.0])
            tip = target + shift * lateral + np.array([0, 0, rise])
            tip = tip + rng.normal(0, depth_jitter) * direction
            needle = self._needle(tip, direction)
            if needle is not None and self._fits(needle, [*others, *made]):
                made.append(needle)
        return made

    @property
    def _max_tilt(self) -> float:
        return self._settings.tilt_deg[1]

    def _tilt(self) -> float:
        low, high = self._settings.tilt_deg
        return float(np.clip(abs(self._rng.normal(0, 0.45 * high)), low, high)) * float(
            self._rng.choice([-1, 1])
        )

    def _target(self) -> np.ndarray:
        """Draw a point in the body, away from the first and last slices."""
        rng, grid = self._rng, self._grid
        slices = grid.shape[0]
        k = int(rng.integers(slices // 4, max(slices // 4 + 1, slices - slices // 4)))
        rows, columns = np.nonzero(self._background.body[k])
        if len(rows) == 0:
            return np.asarray(grid.origin_lps, float)
        pick = int(rng.integers(len(rows)))
        middle = np.array([columns.mean(), rows.mean()])
        spot = middle + 0.7 * (np.array([columns[pick], rows[pick]]) - middle)
        return np.array([*spot, k]) * grid.spacing_mm + grid.origin_lps

    def _needle(self, tip: np.ndarray, direction: np.ndarray) -> ImplantNeedle | None:
        rng, settings = self._rng, self._settings
        length = self._look.length_mm
        if self._look.mixed:
            length = float(rng.choice(settings.length_mm))
        length += rng.normal(0, 0.7)
        bow = np.zeros(3)
        if rng.random() < settings.bowed_share:
            bend = np.cross(direction, rng.standard_normal(3))
            bow = draw(rng, settings.bow_mm) * bend / np.linalg.norm(bend)
        return ImplantNeedle(
            tip=tip,
            handle=tip + length * direction,
            radius_mm=self._look.radius_mm,
            metal_hu=self._look.metal_hu * draw(rng, (0.85, 1.15)),
            bow_lps=bow,
            strength=self._strength(),
            hub_radius_mm=self._look.hub_radius_mm,
            hub_length_mm=self._look.hub_length_mm,
            hub_hu=self._look.hub_hu,
            hub_flange=self._look.hub_flange,
            hub_shape=self._look.hub_shape,
            hub_roll_deg=draw(self._late_rng, (0, 180)),
            point_mm=self._look.point_mm,
        )

    def _strength(self) -> np.ndarray:
        """Draw how the shaft's strength varies; a faint one fades over part of its way."""
        rng, settings = self._rng, self._settings
        places = np.linspace(0, 1, 40)
        strength = 1 + 0.15 * np.interp(places, np.linspace(0, 1, 9), rng.standard_normal(9))
        if rng.random() < settings.faint_share:
            middle, width = draw(rng, (0.15, 0.85)), draw(rng, (0.05, 0.25))
            dip = np.exp(-(((places - middle) / width) ** 4))
            strength = strength * (1 - (1 - draw(rng, settings.faint_level)) * dip)
        return np.clip(strength, 0.01, None)

    def _fits(self, needle: ImplantNeedle, others: list[ImplantNeedle]) -> bool:
        """Whether ends lie in the volume, tip in the body, hub in the air, nothing in the way."""
        ends = self._grid.to_ijk(np.stack([needle.tip, needle.handle]))
        slices, rows, columns = self._grid.shape
        margin = 12 / self._grid.spacing_mm[0]
        if not ((ends[:, :2] > margin) & (ends[:, :2] < (columns - margin, rows - margin))).all():
            return False
        if not ((ends[:, 2] > 0.2) & (ends[:, 2] < slices - 1.2)).all():
            return False
        path = np.linspace(needle.tip, needle.handle, 60)
        inside = self._in_body(path)
        clear = int(np.ceil((needle.hub_length_mm / 2 + _HUB_CLEARANCE_MM / 2) / needle_step(path)))
        if not inside[0] or inside[-clear:].any() or inside.mean() < 0.15:
            return False
        if (self._hu(path) > BONE_HU).sum() > 2:
            return False
        return all(apart(needle, other) for other in others)

    def _in_body(self, points: np.ndarray) -> np.ndarray:
        i, j, k = self._nearest(points)
        return self._background.body[k, j, i]

    def _hu(self, points: np.ndarray) -> np.ndarray:
        i, j, k = self._nearest(points)
        return self._background.hu[k, j, i]

    def _nearest(self, points: np.ndarray) -> np.ndarray:
        ijk = np.rint(self._grid.to_ijk(points)).astype(int)
        return np.clip(ijk, 0, np.array(self._grid.shape[::-1]) - 1).T

    def _with_close_partners(self, needles: list[ImplantNeedle]) -> list[ImplantNeedle]:
        """Move needles next to others until ``close_share`` of all have an axis within 3 mm."""
        rng = self._rng
        needles = list(needles)
        goal = int(np.ceil(self._settings.close_share * len(needles)))
        for _ in range(30 * len(needles)):
            close = close_to_another(needles)
            if close.sum() >= goal or len(needles) < 2:
                break
            free = np.flatnonzero(~close)
            mover = int(rng.choice(free))
            host = needles[int(rng.choice([i for i in range(len(needles)) if i != mover]))]
            rest = needles[:mover] + needles[mover + 1 :]
            moved = self._beside(host)
            if moved is not None and self._fits(moved, rest):
                needles[mover] = moved
        return needles

    def _beside(self, host: ImplantNeedle) -> ImplantNeedle | None:
        """A needle whose axis passes ``host`` within 3 mm, at a small angle."""
        rng = self._rng
        along = draw(rng, (0.0, 0.75))
        side = np.cross(host.direction, rng.standard_normal(3))
        side /= np.linalg.norm(side)
        lean = host.direction + np.tan(np.deg2rad(draw(rng, (0.3, 6)))) * side
        direction = lean / np.linalg.norm(lean)
        if abs(np.rad2deg(np.arcsin(direction[2]))) > self._max_tilt:
            return None
        gap = draw(rng, (2.2 * host.radius_mm + 0.1, CLOSE_MM - 0.1))
        other = np.cross(direction, side)
        meeting = host.tip + along * (host.handle - host.tip) + gap * other
        depth = along * np.linalg.norm(host.handle - host.tip) + rng.normal(0, 8)
        return self._needle(meeting - depth * direction, direction)

    def _with_tips_beside_bone(self, needles: list[ImplantNeedle]) -> list[ImplantNeedle]:
        """Move some needles, mostly along themselves, until their tips lie beside bone."""
        rng = self._late_rng
        needles = list(needles)
        for index, needle in enumerate(needles):
            if rng.random() >= self._settings.beside_bone_share:
                continue
            rest = needles[:index] + needles[index + 1 :]
            for _ in range(120):
                shift = draw(rng, (-60, 60)) * needle.direction + rng.normal(0, 8, 3)
                moved = replace(needle, tip=needle.tip + shift, handle=needle.handle + shift)
                if self._beside_bone(moved) and self._fits(moved, rest):
                    needles[index] = moved
                    break
        return needles

    def _beside_bone(self, needle: ImplantNeedle) -> bool:
        """Whether a tip lies near bone, and nothing of its needle in bone."""
        around = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3), axis=-1).reshape(-1, 3)
        around = around[np.abs(around).sum(axis=1) > 0]
        around /= np.linalg.norm(around, axis=1, keepdims=True)
        shells = [needle.tip + distance * around for distance in _BESIDE_BONE_MM]
        path = np.linspace(needle.tip, needle.handle, 240)
        near = (self._hu(np.concatenate(shells)) > BONE_HU).any()
        return bool(near and not (self._hu(path) > BONE_HU).any())

    def _seeds(self, needles: list[ImplantNeedle]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        rng = self._rng
        if rng.random() >= self._patient.seeds_share or not needles:
            return ()
        seeds = []
        for _ in range(draw_int(rng, self._patient.seeds)):
            needle = needles[int(rng.integers(len(needles)))]
            centre = needle.tip + rng.normal(0, 9, 3) + draw(rng, (-5, 35)) * needle.direction
            direction = needle.direction + rng.normal(0, 0.3, 3)
            seeds.append((centre, direction / np.linalg.norm(direction)))
        return tuple(seeds)

    def _template(self, needles: list[ImplantNeedle]) -> Template | None:
        """A plate over the first group's entry points."""
        rng = self._rng
        if rng.random() >= self._patient.template_share or not needles:
            return None
        normal = needles[0].direction
        group = [needle for needle in needles if needle.direction @ normal > 0.95]
        exits = []
        for needle in group:
            path = np.linspace(needle.tip, needle.handle, 60)
            exits.append(path[int(np.flatnonzero(self._in_body(path)).max())])
        centre = np.mean(exits, 0)
        highest = max(float((point - centre) @ normal) for point in exits)
        lowest_hub = min(float((n.handle - centre) @ normal) - n.hub_length_mm / 2 for n in group)
        thickness = draw(rng, (8, 18))
        if lowest_hub < highest + thickness + 4:
            return None
        room = lowest_hub - highest - thickness - 2
        centre = centre + (highest + draw(rng, (1, max(1.1, min(20, room))))) * normal
        return Template(centre, normal, draw(rng, (28, 60)), thickness, draw(rng, (-50, 180)))


@dataclass(frozen=True)
class _NeedleLook:
    """What the needles of one case share."""

    length_mm: float
    mixed: bool
    radius_mm: float
    metal_hu: float
    hub_radius_mm: float
    hub_length_mm: float
    hub_hu: float
    hub_flange: float
    hub_shape: str = "barrel"
    point_mm: float = 0.0

    @classmethod
    def drawn(cls, settings: NeedleSettings, rng: np.random.Generator) -> _NeedleLook:
        low, high = settings.metal_hu
        hub_hu = draw(rng, settings.hub_hu)
        if rng.random() < settings.metal_hub_share:
            hub_hu = draw(rng, (1500, 3500))
        return cls(
            length_mm=float(rng.choice(settings.length_mm)),
            mixed=bool(rng.random() < settings.mixed_length_share),
            radius_mm=draw(rng, settings.radius_mm),
            metal_hu=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
            hub_radius_mm=draw(rng, settings.hub_radius_mm),
            hub_length_mm=draw(rng, settings.hub_length_mm),
            hub_hu=hub_hu,
            hub_flange=draw(rng, settings.hub_flange),
        )

    def varied(self, settings: NeedleSettings, rng: np.random.Generator) -> _NeedleLook:
        """Draw the hubs' shape, for some cases a material instead of any HU, and the point."""
        shape = str(rng.choice(settings.hub_shapes))
        material_hu = float(rng.choice(list(MATERIALS_HU.values()))) + rng.normal(0, 25)
        named = rng.random() < settings.hub_material_share
        hub_hu = material_hu if named else self.hub_hu
        point_mm = draw(rng, settings.point_mm) if settings.point_mm[1] > 0 else 0.0
        return replace(self, hub_shape=shape, hub_hu=hub_hu, point_mm=point_mm)


def needle_step(path: np.ndarray) -> float:
    """Distance of neighbouring points of an evenly spaced path."""
    return float(np.linalg.norm(path[1] - path[0]))
