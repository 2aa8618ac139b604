"""Simulate an implant CT: patient -> implant -> metal -> scanner -> labels, each its own file.

A case is a pure function of its settings, its seed and its background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.needles import Needle
from needle_backend.core.settings import draw, draw_int
from needle_backend.core.volume import Volume
from needle_backend.ct.training.anatomy import Background, Patient, pelvis
from needle_backend.ct.training.backgrounds import real_background
from needle_backend.ct.training.field_of_view import field_of_view
from needle_backend.ct.training.gas import gas
from needle_backend.ct.training.guides import guide_tubes, without_needles
from needle_backend.ct.training.implants import close_to_another
from needle_backend.ct.training.labels import SliceEnd, label_needle
from needle_backend.ct.training.metal import other_metal, place_template, render_implant
from needle_backend.ct.training.planning import ImplantPlanner
from needle_backend.ct.training.scanner import Scanner
from needle_backend.ct.training.settings import SimulationSettings
from needle_backend.ct.training.splat import Grid, splat


@dataclass(frozen=True)
class SimulatedCase:
    """One simulated CT with everything known about it."""

    volume: Volume
    needles: tuple[Needle, ...]
    slice_ends: tuple[SliceEnd, ...]
    facts: dict[str, object]

    def truth_extra(self) -> dict[str, object]:
        """Return what goes into truth.json beside the needles."""
        return {"simulated": self.facts, "slice_ends": [asdict(end) for end in self.slice_ends]}


def simulate_case(
    settings: SimulationSettings, seed: int, backgrounds: Sequence[Path] = ()
) -> SimulatedCase:
    """Simulate one case; with ``backgrounds``, over one of these real CTs."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    background, grid = _draw_background(settings, backgrounds, rng, seed)
    planner = ImplantPlanner(settings.needles, settings.patient, background, grid, rng, seed)
    implant = planner.plan()
    tubes = guide_tubes(implant, settings.patient, background, grid, seed)
    implant = without_needles(implant, settings.patient, seed)
    if implant.template is not None:
        place_template(implant.template, background, grid)
    metal = render_implant(implant, grid) + other_metal(settings.patient, background, grid, rng)
    bubbles = gas(implant, settings.patient, background, grid, seed)
    for points in [*(guide.points(background, grid) for guide in tubes), *bubbles]:
        splat(points, grid, metal)
    scanner = Scanner.drawn(settings.scanner, rng)
    pixel_mm = grid.spacing_mm[0]
    slices = [
        scanner.scan(anatomy, added, pixel_mm, background.noise_scale, rng)
        for anatomy, added in zip(background.hu, metal, strict=True)
    ]
    view = field_of_view(implant.needles, settings.grid, background.open_side, grid, seed)
    ends_inside = [view.ends_inside(needle, grid) for needle in implant.needles]
    needles = [n for n, inside in zip(implant.needles, ends_inside, strict=True) if inside]
    array, grid = view.of_array(np.stack(slices)), view.of_grid(grid)
    labels = [
        label
        for index, needle in enumerate(needles)
        for label in label_needle(needle, index, grid, scanner.psf_sigma_mm)
    ]
    facts = {
        "seed": seed,
        "background": background.name,
        "needles_with_another_within_3_mm": int(close_to_another(needles).sum()),
        "bowed_needles": sum(bool(needle.bow_lps.any()) for needle in needles),
        "seeds": len(implant.seeds),
        "template": implant.template is not None,
        "guide_tubes": len(tubes),
        "open_side_lps": background.open_side.tolist(),
        "scanner": asdict(scanner),
    }
    # Told only where there are any, so that older settings write the same truth.json.
    later = {"gas_bubbles": len(bubbles), "needles_leaving_the_picture": ends_inside.count(1)}
    facts |= {name: count for name, count in later.items() if count}
    volume = Volume(array, grid.spacing_mm, grid.origin_lps, f"simulated seed {seed}")
    truth = tuple(needle.truth() for needle in needles)
    return SimulatedCase(volume, truth, tuple(labels), facts)


def _draw_background(
    settings: SimulationSettings, backgrounds: Sequence[Path], rng: np.random.Generator, seed: int
) -> tuple[Background, Grid]:
    slices = draw_int(rng, settings.grid.slices)
    slice_mm = float(rng.choice(settings.grid.slice_mm))
    pixel_mm = draw(rng, settings.grid.pixel_mm)
    size = settings.grid.matrix
    spacing = (pixel_mm, pixel_mm, slice_mm)
    corner = -0.5 * (size - 1) * pixel_mm
    first_z = draw(rng, (-75, 90)) - 0.5 * (slices - 1) * slice_mm
    if backgrounds:
        grid = Grid((slices, size, size), spacing, (corner, corner, first_z))
        return real_background(backgrounds[int(rng.integers(len(backgrounds)))], grid, rng)
    patient = Patient.drawn(settings.patient, rng, seed)
    # The couch goes to one edge of the picture, so that the hubs fit on the other side.
    room = 0.5 * size * pixel_mm - patient.half_depth_mm - 35
    shift = -patient.couch_side * float(np.clip(0.85 * room, 0, 120)) + rng.normal(0, 6)
    grid = Grid((slices, size, size), spacing, (corner + rng.normal(0, 8), corner + shift, first_z))
    return pelvis(patient, grid, rng), grid
