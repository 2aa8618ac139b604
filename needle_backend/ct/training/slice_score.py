"""2D figures of merit: how well ends are found on single slices (Xiao et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from needle_backend.ct.ends import TIP, SliceEnds
from needle_backend.ct.training.labels import SliceEnd

GATE_MM = 5.0
GATE_DEG = 20.0


@dataclass(frozen=True)
class SliceScore:
    """Counts and summed errors of one class; add them up over slices."""

    hits: int = 0
    missed: int = 0
    false: int = 0
    distance_mm: float = 0.0
    angle_error_deg: float = 0.0

    def __add__(self, other: SliceScore) -> SliceScore:
        return SliceScore(
            self.hits + other.hits,
            self.missed + other.missed,
            self.false + other.false,
            self.distance_mm + other.distance_mm,
            self.angle_error_deg + other.angle_error_deg,
        )

    @property
    def recall(self) -> float:
        """Share of the labelled ends that were found."""
        return self.hits / max(1, self.hits + self.missed)

    @property
    def precision(self) -> float:
        """Share of the found ends that are labelled."""
        return self.hits / max(1, self.hits + self.false)

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision."""
        return 2 * self.hits / max(1, 2 * self.hits + self.missed + self.false)

    @property
    def mae_mm(self) -> float:
        """Mean distance of the hits."""
        return self.distance_mm / max(1, self.hits)

    @property
    def angle_deg(self) -> float:
        """Mean angle error of the hits."""
        return self.angle_error_deg / max(1, self.hits)


def score_slices(
    ends: SliceEnds, labels: Sequence[SliceEnd], kind: int, pixel_mm: float
) -> SliceScore:
    """Match detections of one class on one slice to its labels, one to one.

    A hit is within 5 mm and 20 degrees.
    """
    name = "tip" if kind == TIP else "handle"
    wanted = [label for label in labels if label.kind == name]
    found = ends.of_kind(kind)
    if not wanted or len(found) == 0:
        return SliceScore(missed=len(wanted), false=len(found))
    at = np.array([(label.column, label.row) for label in wanted])
    angle = np.array([label.angle_deg for label in wanted])
    distance = pixel_mm * np.hypot(
        found.column[:, None] - at[None, :, 0], found.row[:, None] - at[None, :, 1]
    )
    turn = np.abs((found.angle_deg[:, None] - angle[None] + 180) % 360 - 180)
    near = (distance <= GATE_MM) & (turn <= GATE_DEG)
    rows, columns = linear_sum_assignment(np.where(near, distance, 1000.0))
    hit = near[rows, columns]
    hits = int(hit.sum())
    return SliceScore(
        hits=hits,
        missed=len(wanted) - hits,
        false=len(found) - hits,
        distance_mm=float(distance[rows, columns][hit].sum()),
        angle_error_deg=float(turn[rows, columns][hit].sum()),
    )
