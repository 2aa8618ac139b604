"""Randomisation ranges of the CT simulator, read from TOML: every number a case is drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field

from needle_backend.core.settings import Range, check_names

COUCHES = ("curved", "cradle", "flat", "mattress", "none")
HUB_SHAPES = ("barrel", "hollow", "cone", "ribbed", "winged", "cored")


@dataclass(frozen=True)
class GridSettings:
    """The scanned grid.

    ``cut_share`` of the cases end too early: some needles leave the picture with one end.
    """

    slices: Range = (9, 26)
    slice_mm: tuple[float, ...] = (3.0, 5.0, 5.0, 5.0)
    pixel_mm: Range = (0.70, 0.98)
    matrix: int = 512
    cut_share: float = 0.0


@dataclass(frozen=True)
class PatientSettings:
    """The procedural patient and what else lies in the picture.

    ``guide_tube_share`` of the cases have plastic tubes around the needles outside the skin;
    ``bare_share`` hold seeds, template and tubes, but no needle. ``couches`` are some
    of :data:`COUCHES`. ``gas_share`` have bubbles beside needles and loose in the tissue,
    ``rectal_contrast_share`` contrast in the rectum, and ``layered_bladder_share`` contrast that
    has sunk to the bladder's floor.
    """

    prone_share: float = 0.5
    half_width_mm: Range = (160, 215)
    half_depth_mm: Range = (95, 140)
    fat_mm: Range = (8, 40)
    contrast_share: float = 0.3
    other_metal_share: float = 0.2
    seeds_share: float = 0.4
    seeds: Range = (5, 60)
    template_share: float = 0.5
    guide_tube_share: float = 0.0
    bare_share: float = 0.0
    couches: tuple[str, ...] = ("curved",)
    gas_share: float = 0.0
    rectal_contrast_share: float = 0.0
    layered_bladder_share: float = 0.0

    def __post_init__(self) -> None:
        check_names("couches", self.couches, COUCHES)


@dataclass(frozen=True)
class NeedleSettings:
    """The implant.

    ``close_share`` of the needles get another axis nearer than 3 mm (but not touching within it);
    ``faint_share`` of the shafts fade to ``faint_level`` of their strength somewhere on their way.
    ``point_mm`` is the length over which a shaft thins towards its tip.
    ``beside_bone_share`` of the tips are moved beside bone, where there is any in reach.
    ``hub_shapes`` are some of :data:`HUB_SHAPES`; ``hub_material_share`` of the cases have hubs of
    one of :data:`needle_backend.ct.training.hubs.MATERIALS_HU`.
    """

    count: Range = (2, 36)
    needle_free_share: float = 0.03
    length_mm: tuple[float, ...] = (150.0, 180.0, 200.0, 210.0)
    mixed_length_share: float = 0.3
    radius_mm: Range = (0.5, 0.75)
    metal_hu: Range = (1500, 9000)
    tilt_deg: Range = (0, 20)
    spacing_mm: Range = (5, 13)
    close_share: float = 0.35
    bowed_share: float = 0.2
    bow_mm: Range = (1, 4)
    faint_share: float = 0.4
    faint_level: Range = (0.02, 0.3)
    hub_radius_mm: Range = (2.4, 3.5)
    hub_length_mm: Range = (18, 30)
    hub_hu: Range = (60, 600)
    hub_flange: Range = (1.0, 1.45)
    metal_hub_share: float = 0.15
    point_mm: Range = (0.0, 0.0)
    beside_bone_share: float = 0.0
    hub_shapes: tuple[str, ...] = ("barrel",)
    hub_material_share: float = 0.0

    def __post_init__(self) -> None:
        check_names("hub_shapes", self.hub_shapes, HUB_SHAPES)


@dataclass(frozen=True)
class ScannerSettings:
    """Blur, noise and metal artefacts."""

    psf_sigma_mm: Range = (0.45, 0.85)
    sharpen: Range = (0.0, 0.6)
    noise_hu: Range = (6, 28)
    streak: Range = (0.2, 1.4)


@dataclass(frozen=True)
class SimulationSettings:
    """All ranges; a uniform draw from each (lo, hi) pair unless its name says otherwise."""

    grid: GridSettings = field(default_factory=GridSettings)
    patient: PatientSettings = field(default_factory=PatientSettings)
    needles: NeedleSettings = field(default_factory=NeedleSettings)
    scanner: ScannerSettings = field(default_factory=ScannerSettings)
