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
    """Pair needles with true ones, as :mod:`needle_backend.ct.training.evaluate` does."""
    from needle_backend.ct.training.evaluate import compare

    comparison = compare(truth, needles, GATE_MM)
    errors_mm: list[tuple[float, float] | None] = [None] * len(needles)
    for true, predicted in comparison.pairs:
        off = comparison.predicted_ends[predicted] - comparison.true_ends[true]
        tip_mm, handle_mm = np.linalg.norm(off, axis=-1)
        errors_mm[predicted] = (float(tip_mm), float(handle_mm))
    return Agreement(tuple(errors_mm), len(truth))
