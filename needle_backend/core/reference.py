"""Needles against a reference set, such as a colleague's: errors of each, missed and false ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import angle_between_lines_deg
from needle_backend.core.needles import Needle
from needle_backend.core.pairing import ends_of, pair_one_to_one

GATE_MM = 5.0
"""Both ends of a needle lie this near to its reference's, or it is another needle."""


@dataclass(frozen=True)
class NeedleError:
    """How far one needle is from its reference."""

    id: str
    reference_id: str
    tip_mm: float
    handle_mm: float
    angle_deg: float


@dataclass(frozen=True)
class ReferenceComparison:
    """A set of needles against a reference.

    Attributes
    ----------
    errors
        Of the needles that the reference has too, in the needles' order.
    false, missed
        Numbers of needles that the reference does not have, and of those only it has.
    """

    errors: tuple[NeedleError, ...]
    false: tuple[str, ...]
    missed: tuple[str, ...]

    def in_words(self) -> str:
        """Return one sentence for a status line."""
        found, all_true = len(self.errors), len(self.errors) + len(self.missed)
        words = f"{found} of {all_true} reference needles found, {len(self.false)} false"
        if self.errors:
            tip_mm, handle_mm = np.mean([(e.tip_mm, e.handle_mm) for e in self.errors], axis=0)
            words += f"; mean error {tip_mm:.1f} mm at the tips, {handle_mm:.1f} mm at the handles"
        return words + "."


def compare_with_reference(
    needles: Sequence[Needle], reference: Sequence[Needle], gate_mm: float = GATE_MM
) -> ReferenceComparison:
    """Pair needles with a reference's one to one and tell their errors.

    As many as possible are paired with both ends inside the gate, then the smallest sum of
    distances is taken.
    """
    ends, true_ends = ends_of(needles)[:, None], ends_of(reference)[None]
    off_mm = np.linalg.norm(ends - true_ends, axis=-1)
    inside = (off_mm <= gate_mm).all(axis=-1)
    pairs = pair_one_to_one(np.where(inside, off_mm.sum(axis=-1), np.inf), 2 * gate_mm)
    angle_deg = angle_between_lines_deg(
        ends[..., 0, :] - ends[..., 1, :], true_ends[..., 0, :] - true_ends[..., 1, :]
    )
    errors = tuple(
        NeedleError(
            needles[i].id, reference[j].id, *map(float, off_mm[i, j]), float(angle_deg[i, j])
        )
        for i, j in pairs
    )
    found, covered = set(pairs[:, 0].tolist()), set(pairs[:, 1].tolist())
    return ReferenceComparison(
        errors,
        false=tuple(n.id for i, n in enumerate(needles) if i not in found),
        missed=tuple(n.id for j, n in enumerate(reference) if j not in covered),
    )
