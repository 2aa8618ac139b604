"""Randomisation ranges of the ultrasound simulator, read from TOML.

Lengths in px are picture pixels; angles are from the horizontal; dB are 20 log10 of the echo's
amplitude, 0 dB being displayed white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from needle_backend.core.settings import Range

VISIBLE_CONTRAST = 1.0
"""From which contrast on an echo stands out."""


@dataclass(frozen=True)
class SequenceSettings:
    """The recording.

    A tip whose shaft is seen right behind it counts as visible from ``tip_contrast_on_shaft`` on;
    the end of a shaft that is seen as a line, however faint, from ``end_contrast_on_line`` on.
    """

    frames: int = 60
    fps: float = 30.0
    size: tuple[int, int] = (640, 480)
    needle_free_share: float = 0.12
    tip_contrast_on_shaft: float = VISIBLE_CONTRAST
    end_contrast_on_line: float = math.inf


@dataclass(frozen=True)
class ProbeSettings:
    """What is looked at, through which transducer.

    ``lateral_px`` and ``axial_px`` are the point spread's standard deviations at the focus,
    ``defocus`` is how many times wider it is at worst. ``noise_share`` is the electronic noise's
    distance below white in dynamic ranges; ``compounding`` is how far speckle is averaged out.
    """

    curved_share: float = 0.35
    linear_depth_mm: Range = (30, 60)
    curved_depth_mm: Range = (70, 130)
    field_angle_deg: Range = (45, 75)
    margin_share: float = 0.5
    axial_px: Range = (0.9, 1.8)
    lateral_px: Range = (1.6, 3.6)
    defocus: Range = (1.2, 2.4)
    dynamic_range_db: Range = (48, 66)
    gain_db: Range = (-4, 5)
    smoothing_px: Range = (0.3, 1.0)
    persistence: Range = (0.0, 0.45)
    noise_share: Range = (0.8, 1.05)
    compounding: Range = (0.1, 0.75)


@dataclass(frozen=True)
class TissueSettings:
    """The procedural tissue and how it moves.

    A ``phantom_share`` of it is a phantom's: even speckle with hardly a structure in it.
    """

    layers: Range = (2, 6)
    vessels: Range = (0, 4)
    bone_share: float = 0.3
    fascia: Range = (2, 36)
    streaks: Range = (40, 260)
    contact_loss_share: float = 0.2
    drift_px: Range = (0, 7)
    warp_px: Range = (0.5, 3.0)
    decorrelation: Range = (0.0, 0.6)
    flicker_db: Range = (0.1, 0.8)
    phantom_share: float = 0.0


@dataclass(frozen=True)
class BackgroundSettings:
    """How real needle-free images become tissue.

    A ``recut_share`` of the sequences shows parts of the image, where any fit into it, instead of
    all of it: of ``part`` of its sides, turned, stretched by up to ``stretch_most`` in one
    direction, enlarged by no more than ``enlarged_most``, in a ``grown_share`` of them two parts
    that pass into each other. Into a ``drawn_share`` of all, sheets and streaks of the procedural
    tissue are drawn, bright lines that are no needles.
    """

    recut_share: float = 0.0
    part: Range = (0.55, 1.0)
    turn_deg: Range = (-35, 35)
    stretch_most: float = 1.6
    enlarged_most: float = 3.0
    grown_share: float = 0.3
    drawn_share: float = 0.0


@dataclass(frozen=True)
class SweepSettings:
    """How a probe is moved across the tissue, in a ``share`` of the sequences.

    Then another plane, whose tissue lies ``apart_px`` beside and is bent by ``bent_px``, takes the
    place of what is seen, and this that of the other, about ``planes_a_second``; what is seen
    slides along, and up to ``contact_db`` are lost where the probe touches badly.
    """

    share: float = 0.0
    apart_px: Range = (10, 120)
    bent_px: Range = (2, 14)
    planes_a_second: Range = (0.1, 1.2)
    slide_px_s: Range = (0, 120)
    contact_db: Range = (0, 6)


@dataclass(frozen=True)
class NeedleSettings:
    """The needle's path and look.

    ``shaft_db`` is the near wall's peak when the beam meets it at a right angle; the echo loses
    ``angle_loss_db`` where it is tilted by 45 degrees beyond ``steering_deg``, and
    ``trend_db`` 300 px behind the tip. An ``over_tissue_share`` of the needles have a wall that is
    ``over_tissue_db`` above the tissue that they lie in, instead. Its echoes are ``bloom`` times
    wider across the beams than those of tissue. A haze of ``haze_db`` without end lies below the
    needles of a ``haze_share``, and begins and ends over ``haze_edge_beams``.
    """

    diameter_mm: Range = (0.4, 1.2)
    angle_deg: Range = (10, 60)
    bent_share: float = 0.35
    bend_px: Range = (4, 22)
    shaft_db: Range = (-22, -3)
    angle_loss_db: Range = (6, 20)
    steering_deg: Range = (0, 20)
    far_wall_db: Range = (-26, -5)
    body_db: Range = (-24, -6)
    roughness: Range = (0.35, 1.0)
    bead_share: float = 0.45
    dropout_db: Range = (3, 18)
    tip_db: Range = (-2, 10)
    bevel_deg: Range = (15, 35)
    reverberation_share: float = 0.5
    reverberation_decay: Range = (0.25, 0.6)
    comet_share: float = 0.4
    comet_db: Range = (-48, -28)
    shadow_db: Range = (0, 5)
    side_lobe_db: Range = (-50, -32)
    over_tissue_share: float = 0.0
    over_tissue_db: Range = (0, 14)
    trend_db: Range = (0, 0)
    bloom: Range = (1, 1)
    haze_share: float = 0.0
    haze_db: Range = (-34, -12)
    haze_edge_beams: tuple[int, int] = (7, 31)


@dataclass(frozen=True)
class MotionSettings:
    """How needle and probe are handled.

    The beam's half thickness is ``slice_mm``; the needle lies ``tilt_deg`` out of the imaging
    plane and the probe's plane wanders by up to ``wander_mm`` across it. The tissue
    around the tip is dragged along by up to ``drag_px``.
    """

    speed_mm_s: Range = (3, 20)
    pause_s: Range = (0.2, 1.5)
    withdrawal_share: float = 0.3
    slice_mm: Range = (1.0, 2.2)
    tilt_deg: Range = (0, 3)
    wander_mm: Range = (0.0, 2.0)
    drag_px: Range = (0.5, 6)


@dataclass(frozen=True)
class SimulationSettings:
    """All ranges; a uniform draw from each (lo, hi) pair unless its name says otherwise."""

    sequence: SequenceSettings = field(default_factory=SequenceSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    tissue: TissueSettings = field(default_factory=TissueSettings)
    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    needle: NeedleSettings = field(default_factory=NeedleSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
