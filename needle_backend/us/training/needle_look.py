"""How one needle looks: its levels, roughness, drop-outs and tails, drawn once a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.motion import STEP_PX
from needle_backend.us.training.settings import NeedleSettings
from needle_backend.us.training.speckle import amplitude, smooth_series

POINTS = 1300
_MOST_TAIL = 1.3


@dataclass(frozen=True)
class NeedleLook:
    """One needle's appearance; arrays run along the shaft from the tip, ``STEP_PX`` a step."""

    radius_px: float
    slice_mm: float
    shaft_db: float
    angle_loss_db: float
    steering_deg: float
    far_wall_db: float
    body_db: float
    tip_db: float
    bevel_px: float
    bevel_up: bool
    echoes: np.ndarray
    """Amplitudes of the shaft's repetitions, one a reverberation."""
    gap_px: float
    grain: np.ndarray
    """(3, n, 2) complex reflectivity of the near wall, the far wall and what lies between."""
    dropout_db: np.ndarray
    """(3, n) their loss that belongs to the needle."""
    place_db: np.ndarray
    """(n,) loss that belongs to the place in the tissue, from the path's start."""
    tails: np.ndarray
    """(n,) amplitude of the comet tails under the shaft."""
    tails_px: np.ndarray
    """(n,) how far they reach."""
    shadow: float
    side_lobe: float
    bloom: float
    """How many times wider across the beams its echoes are than those of tissue."""
    edge_beams: int
    """Over how many beams its tails begin and end."""

    def angle_loss(self, tilt_deg: np.ndarray) -> np.ndarray:
        """Return what is lost, in dB, where the beam misses the wall's normal by so much."""
        beyond = np.maximum(tilt_deg - self.steering_deg, 0)
        return self.angle_loss_db * (beyond / 45) ** 1.3


def draw_look(
    settings: NeedleSettings, slice_mm: float, px_per_mm: float, rng: np.random.Generator
) -> NeedleLook:
    """Draw a needle's appearance."""
    radius = 0.5 * draw(rng, settings.diameter_mm) * px_per_mm
    bevel = 2 * radius / np.tan(np.radians(draw(rng, settings.bevel_deg)))
    repetitions = int(rng.integers(2, 7)) if rng.random() < settings.reverberation_share else 0
    dropout = draw(rng, settings.dropout_db)
    # What settings may leave out has a stream of its own: without it nothing else changes.
    own = rng.spawn(1)[0]
    trend = draw(own, settings.trend_db) * np.minimum(np.arange(POINTS) * STEP_PX / 300, 1.5)
    haze = _draw_haze(settings, own)
    return NeedleLook(
        radius_px=radius,
        slice_mm=slice_mm,
        shaft_db=draw(rng, settings.shaft_db),
        angle_loss_db=draw(rng, settings.angle_loss_db),
        steering_deg=draw(rng, settings.steering_deg),
        far_wall_db=draw(rng, settings.far_wall_db),
        body_db=draw(rng, settings.body_db),
        tip_db=draw(rng, settings.tip_db),
        bevel_px=float(np.clip(bevel, 5, 60)),
        bevel_up=bool(rng.random() < 0.6),
        echoes=draw(rng, settings.reverberation_decay) ** np.arange(1, repetitions + 1),
        gap_px=max(2 * radius * rng.uniform(0.8, 1.3), 4.0),
        grain=_draw_grain(settings, rng),
        dropout_db=np.stack([_draw_dropout(dropout, rng) for _ in range(3)]) - trend,
        place_db=np.minimum(0, dropout * 0.5 * along_shaft(70, rng)),
        tails=_draw_tails(settings, rng) + haze,
        tails_px=rng.uniform(15, 90) * np.exp(0.5 * along_shaft(40, rng))
        + (own.uniform(40, 300) if haze.any() else 0),
        shadow=float(amplitude(-draw(rng, settings.shadow_db))),
        side_lobe=float(amplitude(draw(rng, settings.side_lobe_db))),
        bloom=draw(own, settings.bloom),
        edge_beams=int(own.integers(*settings.haze_edge_beams)) | 1 if haze.any() else 7,
    )


def along_shaft(correlation_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise along a shaft, (``POINTS``,)."""
    return smooth_series(POINTS, correlation_px / STEP_PX, rng)


def _draw_grain(settings: NeedleSettings, rng: np.random.Generator) -> np.ndarray:
    """Return complex reflectivities, each with a steady and a rough part; beaded at times."""
    rough = draw(rng, settings.roughness)
    grain = np.stack([_reflectivity(share, rng) for share in (rough, rough, 1.0)])
    if rng.random() < settings.bead_share:
        beads = amplitude(rng.uniform(4, 9) * np.stack([along_shaft(3, rng) for _ in grain]))
        grain = grain * np.minimum(beads, 4)[..., None]
    return grain


def _reflectivity(rough: float, rng: np.random.Generator) -> np.ndarray:
    phase = 0.6 * along_shaft(40, rng)
    steady = np.stack([np.cos(phase), np.sin(phase)], -1)
    noise = [0.7 * along_shaft(9, rng) + 0.7 * along_shaft(2.5, rng) for _ in range(2)]
    return (1 - rough) * steady + rough * np.stack(noise, -1)


def _draw_dropout(depth_db: float, rng: np.random.Generator) -> np.ndarray:
    noise = 0.4 * along_shaft(60, rng) + 0.25 * along_shaft(15, rng) - 0.1
    return np.minimum(0, depth_db * noise)


def _draw_tails(settings: NeedleSettings, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= settings.comet_share:
        return np.zeros(POINTS)
    tails = np.maximum(along_shaft(rng.uniform(20, 70), rng) - rng.uniform(-0.4, 0.8), 0)
    tails[: int(30 / STEP_PX)] += rng.uniform(0, 1.2)
    return float(amplitude(draw(rng, settings.comet_db))) * np.minimum(tails, _MOST_TAIL)


def _draw_haze(settings: NeedleSettings, rng: np.random.Generator) -> np.ndarray:
    """Draw what lies below a stretch of the needle, from near its tip backwards, and goes deep."""
    if rng.random() >= settings.haze_share:
        return np.zeros(POINTS)
    along = np.arange(POINTS) * STEP_PX
    start, length, soft = rng.uniform(-10, 40), rng.uniform(30, 350), rng.uniform(3, 25)
    stretch = 1 / (1 + np.exp(-(along - start) / soft)) / (1 + np.exp((along - length) / soft))
    uneven = np.exp(0.5 * along_shaft(rng.uniform(20, 60), rng))
    return float(amplitude(draw(rng, settings.haze_db))) * stretch * uneven
