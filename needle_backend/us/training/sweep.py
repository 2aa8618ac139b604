"""Tissue that passes through the imaging plane while the probe is moved across it.

A slow warp shows a detector of motion nothing but needles that come and go. Under a moved probe
tissue does so, too: here one plane gives way to another, place by place, both slide, and the
contact with the skin changes. There is no volume behind it: the other plane is the same tissue
seen elsewhere, with bright lines of its own.
"""

from __future__ import annotations

import numpy as np

from needle_backend.core.settings import draw
from needle_backend.us.training.anatomy import Tissue
from needle_backend.us.training.probe import Probe
from needle_backend.us.training.settings import SweepSettings
from needle_backend.us.training.speckle import amplitude, smooth_noise, smooth_series

_SKIN_PX = 12.0
"""What lies above is the transducer's own face, which stays."""

_MIRRORED_SHARE = 0.4


class Sweep:
    """One moved probe: what it sees instead, how far it has come by every frame.

    Parameters
    ----------
    lines
        (samples, beams, 2) echoes that only the other plane has.

    Attributes
    ----------
    slid_px
        (frames, 2) how far all that is seen, the needle too, has slid in the picture.
    """

    def __init__(
        self,
        settings: SweepSettings,
        probe: Probe,
        lines: np.ndarray,
        times_s: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self._lines = Tissue(lines, np.zeros_like(lines), margin=0)
        samples, beams = probe.shape
        beam_px = float(probe.lateral_px().mean())
        depth = np.arange(samples, dtype=np.float32)[:, None]
        below_skin = np.clip(depth / _SKIN_PX - 1, 0, 1)
        grain = (rng.uniform(50, 160), rng.uniform(50, 200) / beam_px)
        self._place_phase = smooth_noise((samples, beams), grain, rng) * rng.uniform(0.15, 0.6)
        self._sharpness = rng.uniform(1.0, 5.0)
        self._below_skin = below_skin
        away = draw(rng, settings.apart_px) * rng.normal(0, (1.0, 0.3))
        bend = [smooth_noise((samples, beams), (150, 200 / beam_px), rng) for _ in range(2)]
        apart = away + draw(rng, settings.bent_px) * np.stack(bend, -1)
        self._apart = apart * below_skin[..., None] / (beam_px, 1.0)
        self._mirrored = rng.random() < _MIRRORED_SHARE
        self._planes_passed = _hand_way(times_s, rng) * draw(rng, settings.planes_a_second)
        slide = draw(rng, settings.slide_px_s) * rng.normal(0, (1.0, 0.25))
        self.slid_px = _hand_way(times_s, rng)[:, None] * slide
        contact_db = smooth_series(3 * beams, rng.uniform(60, 200) / beam_px, rng)
        self._contact_db = draw(rng, settings.contact_db) * np.minimum(contact_db, 0)
        share_passed = self._planes_passed / max(self._planes_passed[-1], 1e-6)
        # The beams see the middle third of the skin's contact, which shifts by a third at most.
        self._first_contact = np.rint(beams + share_passed * rng.uniform(-1, 1) * beams).astype(int)

    def seen(self, tissue: Tissue, displacement: np.ndarray, turn: float, frame: int) -> np.ndarray:
        """Return one frame's echoes (samples, beams, 2), as :meth:`Tissue.seen` does."""
        here = tissue.seen(displacement, turn)
        elsewhere = displacement + self._apart
        if self._mirrored:
            elsewhere = elsewhere[:, ::-1] * (-1.0, 1.0)
        there = tissue.seen(elsewhere, turn)
        if self._mirrored:
            there = there[:, ::-1]
        there = there + self._lines.seen(displacement, 0.0)
        wave = np.cos(2 * np.pi * (self._place_phase + self._planes_passed[frame]))
        share = self._below_skin / (1 + np.exp(self._sharpness * wave))
        first = self._first_contact[frame]
        contact = amplitude(self._contact_db[first : first + displacement.shape[1]])
        both = here + share[..., None] * (there - here)
        return (both * contact[None, :, None]).astype(np.float32)


def _hand_way(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how far a hand that moves and rests has come, (frames,), about one a second."""
    step = times_s[1] - times_s[0] if len(times_s) > 1 else 1.0
    speed = smooth_series(len(times_s), rng.uniform(0.4, 1.5) / step, rng)
    return np.cumsum(np.maximum(speed + rng.uniform(-0.5, 1.0), 0)) * step
