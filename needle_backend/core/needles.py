"""Needles and the result of looking for them: what travels between steps, processes and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Needle:
    """One straight needle.

    Attributes
    ----------
    tip_lps
        Most distal metal on the axis, LPS mm.
    handle_lps
        Centre of the hub on the axis, LPS mm.
    score
        The matcher's score of this pair; comparable within one result only.
    confidence
        Calibrated probability (0..1) that both ends are right; None where not known.
    doubts
        Reasons, in words, to look at this needle twice.
    id
        "N01", "N02"..., see :func:`number_needles`; empty before numbering.
    """

    tip_lps: Point
    handle_lps: Point
    score: float = 0.0
    confidence: float | None = None
    doubts: tuple[str, ...] = ()
    id: str = ""

    @property
    def length_mm(self) -> float:
        """Distance from the tip to the hub's centre."""
        return float(np.linalg.norm(np.subtract(self.tip_lps, self.handle_lps)))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of one needle in a result."""
        return {
            "id": self.id,
            "tip_lps": list(self.tip_lps),
            "handle_lps": list(self.handle_lps),
            "length_mm": self.length_mm,
            "score": self.score,
            "confidence": self.confidence,
            "doubts": list(self.doubts),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Needle:
        """Inverse of :meth:`to_dict`; only the two ends are required."""
        return cls(
            tip_lps=as_point(data["tip_lps"]),
            handle_lps=as_point(data["handle_lps"]),
            score=float(data.get("score", 0.0)),
            confidence=data.get("confidence"),
            doubts=tuple(data.get("doubts", ())),
            id=data.get("id", ""),
        )


@dataclass(frozen=True)
class NeedleCount:
    """How many needles were looked for, and whether that number was given or estimated."""

    value: int
    estimated: bool


@dataclass(frozen=True)
class LocateOptions:
    """What a user may choose for one localization.

    Attributes
    ----------
    count
        Number of needles in the patient; None to estimate it.
    length_mm, length_tolerance_mm
        Tip to hub centre; pairs outside ``length_mm`` +- ``length_tolerance_mm`` are never needles.
    device
        "auto", "cpu", "cuda" or "cuda:1"...
    solver
        Name of the matching solver (:mod:`needle_backend.ct.match`).
    weights
        Name or path of the detector's weights; None for the shipped ones.
    pair_weights
        The same of the network that judges pairs of detected ends.
    tip_threshold, handle_threshold
        Weakest sight of an end on a slice that counts, 0..1; matching decides what becomes of it.
    method
        "network", or "classical" to measure it against (:mod:`needle_backend.ct.methods`).
    """

    count: int | None = None
    length_mm: float = 185.0
    length_tolerance_mm: float = 65.0
    device: str = "auto"
    solver: str = "default"
    weights: str | None = None
    pair_weights: str | None = None
    tip_threshold: float = 0.2
    handle_threshold: float = 0.2
    method: str = "network"


@dataclass(frozen=True)
class LocateResult:
    """Everything one localization found; its JSON form is the same in CLI, service and module.

    ``unmatched_tips`` and ``unmatched_handles`` are ends of no needle that may be a missed one's,
    the surest first. ``seen_tips`` and ``seen_handles`` are all ends detected, fused over slices,
    whatever became of them; empty where a method looks for none.
    """

    needles: tuple[Needle, ...]
    count: NeedleCount
    unmatched_tips: tuple[Point, ...] = ()
    unmatched_handles: tuple[Point, ...] = ()
    surplus: tuple[Needle, ...] = ()
    solver: str = ""
    gap: float | None = None
    timings_s: dict[str, float] = field(default_factory=dict)
    device: str = ""
    weights: str = ""
    warnings: tuple[str, ...] = ()
    seen_tips: tuple[Point, ...] = ()
    seen_handles: tuple[Point, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the object that ``needles locate --json`` prints."""
        return {
            "needles": [needle.to_dict() for needle in self.needles],
            "unmatched_tips": [list(point) for point in self.unmatched_tips],
            "unmatched_handles": [list(point) for point in self.unmatched_handles],
            "surplus": [needle.to_dict() for needle in self.surplus],
            "count": asdict(self.count),
            "solver": self.solver,
            "gap": self.gap,
            "timings_s": dict(self.timings_s),
            "device": self.device,
            "weights": self.weights,
            "warnings": list(self.warnings),
            "seen_tips": [list(point) for point in self.seen_tips],
            "seen_handles": [list(point) for point in self.seen_handles],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LocateResult:
        """Inverse of :meth:`to_dict`."""
        return cls(
            needles=tuple(Needle.from_dict(item) for item in data["needles"]),
            count=NeedleCount(**data["count"]),
            unmatched_tips=tuple(as_point(point) for point in data["unmatched_tips"]),
            unmatched_handles=tuple(as_point(point) for point in data["unmatched_handles"]),
            surplus=tuple(Needle.from_dict(item) for item in data["surplus"]),
            solver=data["solver"],
            gap=data["gap"],
            timings_s=dict(data["timings_s"]),
            device=data["device"],
            weights=data["weights"],
            warnings=tuple(data["warnings"]),
            seen_tips=tuple(as_point(point) for point in data.get("seen_tips", ())),
            seen_handles=tuple(as_point(point) for point in data.get("seen_handles", ())),
        )


def as_point(values: Sequence[float] | np.ndarray) -> Point:
    """Return three plain Python floats."""
    x, y, z = (float(value) for value in values)
    return x, y, z


def confidence_in_words(confidence: float | None) -> str:
    """Return a confidence in percent, as people are to read it: nothing is certain, or impossible.

    Empty where it is not known.
    """
    if confidence is None:
        return ""
    percent = round(100 * confidence)
    return {100: ">99 %", 0: "<1 %"}.get(percent, f"{percent} %")


def number_needles(needles: Sequence[Needle]) -> tuple[Needle, ...]:
    """Number needles N01.. by handle: right to left, anterior to posterior, cranial to caudal.

    Positions are compared in whole millimetres, so that sub-millimetre noise rarely swaps numbers.
    """

    def position(needle: Needle) -> tuple[float, ...]:
        x, y, z = needle.handle_lps
        return (round(x), round(y), -round(z), x, y, -z)

    ordered = sorted(needles, key=position)
    return tuple(replace(needle, id=f"N{i:02d}") for i, needle in enumerate(ordered, start=1))
