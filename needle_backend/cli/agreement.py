"""How the needles found agree with a known truth, for the table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from needle_backend.core.needles import Needle

GATE_MM = 5.0


@dataclass(frozen=True)
class Agreement:
    """Errors of needles against the truth.

    Attributes
    ----------
    errors_mm
        Of each needle's tip and handle; None where the truth has no needle with both ends within
        :data:`GATE_MM`.
    truth_count
        How many needles there really are.
    """

    errors_mm: tuple[tuple[float, float] | None, ...]
    truth_count: int

    def in_words(self) -> str:
        """Return one sentence."""
        found = [error for error in self.errors_mm if error is not None]
        others = len(self.errors_mm) - len(found)
        sentence = (
            f"{len(found)} of {self.truth_count} true needles found within {GATE_MM:g} mm, "
            f"{others} false"
        )
        if found:
            tip_mm, handle_mm = np.mean(found, axis=0)
            sentence += (
                f"; mean error {tip_mm:.1f} mm at the tips, {handle_mm:.1f} mm at the handles"
            )
        return sentence + "."


def agreement_with(truth: Sequence[Needle], needles: Sequence[Needle]) -> Agreement:
    """Assign needles to true ones, as many as agree within the gate, and compare their ends."""
    from scipy.optimize import linear_sum_assignment

    apart_mm = np.linalg.norm(_ends(needles)[:, None] - _ends(truth)[None], axis=-1)
    agrees = (apart_mm <= GATE_MM).all(axis=-1)
    # A pair outside the gate costs more than all pairs inside it together.
    cost = np.where(agrees, apart_mm.sum(axis=-1), 1e6)
    errors: list[tuple[float, float] | None] = [None] * len(needles)
    for i, j in zip(*linear_sum_assignment(cost), strict=True):
        if agrees[i, j]:
            errors[i] = (float(apart_mm[i, j, 0]), float(apart_mm[i, j, 1]))
    return Agreement(tuple(errors), len(truth))


def _ends(needles: Sequence[Needle]) -> np.ndarray:
    return np.array([(n.tip_lps, n.handle_lps) for n in needles], float).reshape(-1, 2, 3)
