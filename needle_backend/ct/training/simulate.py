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
from needle_backend.ct.training.guides import guide_tubes, without_needles
from needle_backend.ct.training.implants import ImplantPlanner, close_to_another
from needle_backend.ct.training.labels import SliceEnd, label_needle
from needle_backend.ct.training.metal import other_metal, place_template, render_implant
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
    background, grid = _draw_background(settings, backgrounds, rng)
    planner = ImplantPlanner(settings.needles, settings.patient, background, grid, rng)
    implant = planner.plan()
    tubes = guide_tubes(implant, settings.patient, background, grid, seed)
    implant = without_needles(implant, settings.patient, seed)
    if implant.template is not None:
        place_template(implant.template, background, grid)
    metal = render_implant(implant, grid) + other_metal(settings.patient, background, grid, rng)
    for guide in tubes:
        splat(guide.points(background, grid), grid, metal)
    scanner = Scanner.drawn(settings.scanner, rng)
    pixel_mm = grid.spacing_mm[0]
    slices = [
        scanner.scan(anatomy, added, pixel_mm, background.noise_scale, rng)
        for anatomy, added in zip(background.hu, metal, strict=True)
    ]
    labels = [
        label
        for index, needle in enumerate(implant.needles)
        for label in label_needle(needle, index, grid, scanner.psf_sigma_mm)
    ]
    close = close_to_another(list(implant.needles))
    facts = {
        "seed": seed,
        "background": background.name,
        "needles_with_another_within_3_mm": int(close.sum()),
        "bowed_needles": sum(bool(needle.bow_lps.any()) for needle in implant.needles),
        "seeds": len(implant.seeds),
        "template": implant.template is not None,
        "guide_tubes": len(tubes),
        "open_side_lps": background.open_side.tolist(),
        "scanner": asdict(scanner),
    }
    volume = Volume(np.stack(slices), grid.spacing_mm, grid.origin_lps, f"simulated seed {seed}")
    truth = tuple(needle.truth() for needle in implant.needles)
    return SimulatedCase(volume, truth, tuple(labels), facts)


def _draw_background(
    settings: SimulationSettings, backgrounds: Sequence[Path], rng: np.random.Generator
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
    patient = Patient.drawn(settings.patient, rng)
    # The couch goes to one edge of the picture, so that the hubs fit on the other side.
    room = 0.5 * size * pixel_mm - patient.half_depth_mm - 35
    shift = -patient.couch_side * float(np.clip(0.85 * room, 0, 120)) + rng.normal(0, 6)
    grid = Grid((slices, size, size), spacing, (corner + rng.normal(0, 8), corner + shift, first_z))
    return pelvis(patient, grid, rng), grid
