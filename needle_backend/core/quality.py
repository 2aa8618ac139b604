"""Quality control of a set of needles: count, length, crossing, spacing, deviation from a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from needle_backend.core.geometry import angle_between_lines_deg, segment_distances, unit_vectors
from needle_backend.core.needles import Needle
from needle_backend.core.pairing import ends_of, pair_nearest
from needle_backend.core.review_log import ReviewedNeedle, ReviewState

PLAN_GATE_MM = 20.0
"""A needle whose tip is farther than this from a planned tip was not meant to be that one."""

_LISTED_AT_MOST = 10


@dataclass(frozen=True)
class QualityLimits:
    """What a set of needles is held against.

    Attributes
    ----------
    count
        Number of needles in the patient; None to compare with the plan, if there is one.
    length_mm, length_tolerance_mm
        Tip to hub centre.
    crossing_mm, crossing_deg
        Needles nearer than this and at a wider angle cross, which steel does not.
    spacing_mm
        Needles nearer than this, not crossing, are told.
    deviation_mm
        Tips farther than this from their planned place are told.
    """

    count: int | None = None
    length_mm: float = 185.0
    length_tolerance_mm: float = 65.0
    crossing_mm: float = 2.0
    crossing_deg: float = 3.0
    spacing_mm: float = 3.0
    deviation_mm: float = 5.0


@dataclass(frozen=True)
class Closeness:
    """Two needles that come near each other."""

    first: str
    second: str
    distance_mm: float
    angle_deg: float

    def in_words(self) -> str:
        """Return such as "N03 and N07 (0.5 mm apart at 6°)"."""
        return (
            f"{self.first} and {self.second} ({self.distance_mm:.1f} mm apart at "
            f"{self.angle_deg:.0f}°)"
        )


@dataclass(frozen=True)
class Deviation:
    """How a needle lies against its planned line.

    Attributes
    ----------
    id, planned_id
        Numbers of the needle and of the line.
    tip_mm
        Distance of the tips.
    deeper_mm
        Part of that along the planned line, positive into the patient.
    sideways_mm
        Part of that across the planned line.
    angle_deg
        Between needle and line, 0..90.
    """

    id: str
    planned_id: str
    tip_mm: float
    deeper_mm: float
    sideways_mm: float
    angle_deg: float

    def in_words(self) -> str:
        """Return one line, such as "N03 is 6.1 mm from P03 (5.0 mm deeper, 3.5 mm aside, 2°)"."""
        way = "deeper" if self.deeper_mm >= 0 else "short"
        return (
            f"{self.id} is {self.tip_mm:.1f} mm from {self.planned_id} ({abs(self.deeper_mm):.1f} "
            f"mm {way}, {self.sideways_mm:.1f} mm aside, {self.angle_deg:.0f}°)"
        )


@dataclass(frozen=True)
class Quality:
    """A summary of one volume's needles; rejected ones are not counted.

    Attributes
    ----------
    count, expected_count
        Needles there are, and should be (None where nothing says).
    lengths_mm
        Shortest, median and longest; None without needles.
    length_off
        Numbers of needles whose length is outside the limits.
    crossing, near
        Needles that cross, and those that only come near each other; nearest first.
    neighbour_mm
        Smallest and median distance to the nearest other needle; None below two needles.
    in_doubt
        Numbers of needles with doubts that nobody settled by accepting them.
    accepted, rejected
        How many of each.
    deviations
        Of the needles that belong to a planned line.
    not_planned, not_found
        Numbers of needles without a planned line, and of lines without a needle.
    findings
        What to look at, a sentence each; empty where nothing is amiss.
    """

    count: int
    expected_count: int | None
    lengths_mm: tuple[float, float, float] | None
    length_off: tuple[str, ...]
    crossing: tuple[Closeness, ...]
    near: tuple[Closeness, ...]
    neighbour_mm: tuple[float, float] | None
    in_doubt: tuple[str, ...]
    accepted: int
    rejected: int
    deviations: tuple[Deviation, ...] = ()
    not_planned: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def may_accept_all(self) -> bool:
        """Whether every needle can be accepted at once, without asking."""
        return self.count > 0 and not self.in_doubt and not self.crossing

    def in_words(self) -> str:
        """Return the figures in one or two sentences; :attr:`findings` tells what is amiss."""
        words = _plural(self.count, "needle")
        if self.lengths_mm is not None:
            shortest, median, longest = self.lengths_mm
            words += f", {shortest:.0f} to {longest:.0f} mm long (median {median:.0f})"
        if self.neighbour_mm is not None:
            words += ", nearest neighbours {:.1f} mm apart (median {:.1f})".format(
                *self.neighbour_mm
            )
        words += f". {self.accepted} accepted, {self.rejected} rejected"
        words += f", {len(self.in_doubt)} with open doubts."
        if self.deviations:
            tips_mm = [deviation.tip_mm for deviation in self.deviations]
            words += (
                f" Tips lie {np.mean(tips_mm):.1f} mm from their planned places on average, "
                f"{max(tips_mm):.1f} mm at most."
            )
        return words

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def check_quality(
    reviewed: Sequence[ReviewedNeedle],
    limits: QualityLimits | None = None,
    plan: Sequence[Needle] = (),
) -> Quality:
    """Hold the needles that nobody rejected against limits and a plan.

    Parameters
    ----------
    plan
        Planned lines, from the tip outwards; they may be longer or shorter than the needles.
    """
    limits = limits or QualityLimits()
    kept = [item for item in reviewed if not item.is_rejected]
    needles = [item.needle for item in kept]
    accepted = [item.log.state is ReviewState.accepted for item in kept]
    expected = limits.count if limits.count is not None else (len(plan) or None)
    lengths_mm = [needle.length_mm for needle in needles]
    crossing, near, nearest_mm = _closeness(needles, limits)
    deviations, not_planned, not_found = compare_with_plan(needles, plan)
    in_doubt = [
        n.id for n, settled in zip(needles, accepted, strict=True) if n.doubts and not settled
    ]
    facts = Quality(
        count=len(needles),
        expected_count=expected,
        lengths_mm=_three(lengths_mm) if needles else None,
        length_off=tuple(
            needle.id
            for needle, length_mm in zip(needles, lengths_mm, strict=True)
            if abs(length_mm - limits.length_mm) > limits.length_tolerance_mm
        ),
        crossing=crossing,
        near=near,
        neighbour_mm=(
            (float(nearest_mm.min()), float(np.median(nearest_mm))) if len(needles) > 1 else None
        ),
        in_doubt=tuple(in_doubt),
        accepted=sum(accepted),
        rejected=len(reviewed) - len(kept),
        deviations=deviations,
        not_planned=not_planned,
        not_found=not_found,
    )
    return replace(facts, findings=tuple(_findings(facts, limits)))


def closeness_to(
    needle: Needle, others: Sequence[Needle], limits: QualityLimits
) -> tuple[tuple[Closeness, ...], tuple[Closeness, ...]]:
    """Return how a needle crosses others and how it is near others; ``second`` is the other."""
    (distance_mm,), (angle_deg,) = _distances_and_angles([needle], others)
    return _sorted_out(
        (
            Closeness(needle.id, others[j].id, float(distance_mm[j]), float(angle_deg[j]))
            for j in np.flatnonzero(distance_mm < _farthest_mm(limits))
        ),
        limits,
    )


def compare_with_plan(
    needles: Sequence[Needle], plan: Sequence[Needle]
) -> tuple[tuple[Deviation, ...], tuple[str, ...], tuple[str, ...]]:
    """Find each needle's planned line, one to one by the distance of the tips and of the lines.

    Returns
    -------
    deviations
        Of the needles with a line, in the needles' order.
    not_planned, not_found
        Numbers of needles without a line and of lines without a needle; both empty without a plan.
    """
    if not plan:
        return (), (), ()
    ends, planned = ends_of(needles)[:, None], ends_of(plan)[None]
    inwards = unit_vectors(planned[..., 0, :] - planned[..., 1, :])
    tip_off = ends[..., 0, :] - planned[..., 0, :]
    # Where along its line a plan puts the handle says little: only the line itself counts.
    handle_aside_mm = _across(ends[..., 1, :] - planned[..., 0, :], inwards)
    tip_mm = np.linalg.norm(tip_off, axis=-1)
    pairs = pair_nearest(np.maximum(tip_mm, handle_aside_mm), PLAN_GATE_MM)
    deeper_mm = np.sum(tip_off * inwards, axis=-1)
    aside_mm = _across(tip_off, inwards)
    angle_deg = angle_between_lines_deg(ends[..., 0, :] - ends[..., 1, :], inwards)
    deviations = tuple(
        Deviation(
            needles[i].id,
            plan[j].id,
            *(float(table[i, j]) for table in (tip_mm, deeper_mm, aside_mm, angle_deg)),
        )
        for i, j in pairs
    )
    has_line, has_needle = set(pairs[:, 0].tolist()), set(pairs[:, 1].tolist())
    return (
        deviations,
        tuple(needle.id for i, needle in enumerate(needles) if i not in has_line),
        tuple(line.id for j, line in enumerate(plan) if j not in has_needle),
    )


def angle_to_axial_deg(needle: Needle) -> float:
    """Return the angle between a needle and the axial plane, 0..90 degrees."""
    along_s = np.array([0.0, 0.0, 1.0])
    return 90.0 - float(
        angle_between_lines_deg(np.subtract(needle.tip_lps, needle.handle_lps), along_s)
    )


def _across(vectors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return how long the part of each vector perpendicular to a unit vector is."""
    along = np.sum(vectors * units, axis=-1, keepdims=True) * units
    return np.linalg.norm(vectors - along, axis=-1)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), float(np.median(values)), max(values)


def _closeness(
    needles: Sequence[Needle], limits: QualityLimits
) -> tuple[tuple[Closeness, ...], tuple[Closeness, ...], np.ndarray]:
    """Return crossing pairs, near pairs, and each needle's distance to its nearest neighbour."""
    distance_mm, angle_deg = _distances_and_angles(needles, needles)
    pairs = (
        Closeness(needles[i].id, needles[j].id, float(distance_mm[i, j]), float(angle_deg[i, j]))
        for i, j in np.argwhere(np.triu(distance_mm < _farthest_mm(limits), k=1))
    )
    crossing, near = _sorted_out(pairs, limits)
    np.fill_diagonal(distance_mm, np.inf)
    return crossing, near, distance_mm.min(axis=1, initial=np.inf)


def _distances_and_angles(
    some: Sequence[Needle], others: Sequence[Needle]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables of distances in mm and angles in degrees of some needles to others."""
    tips, handles = ends_of(some).swapaxes(0, 1)[:, :, None]
    other_tips, other_handles = ends_of(others).swapaxes(0, 1)[:, None]
    distance_mm = segment_distances(tips, handles, other_tips, other_handles)
    return distance_mm, angle_between_lines_deg(tips - handles, other_tips - other_handles)


def _farthest_mm(limits: QualityLimits) -> float:
    return max(limits.crossing_mm, limits.spacing_mm)


def _sorted_out(
    pairs: Iterable[Closeness], limits: QualityLimits
) -> tuple[tuple[Closeness, ...], tuple[Closeness, ...]]:
    """Return the pairs that cross and those that are merely near, nearest first."""
    crossing, near = [], []
    for pair in sorted(pairs, key=lambda pair: pair.distance_mm):
        if pair.distance_mm < limits.crossing_mm and pair.angle_deg > limits.crossing_deg:
            crossing.append(pair)
        elif pair.distance_mm < limits.spacing_mm:
            near.append(pair)
    return tuple(crossing), tuple(near)


def _findings(quality: Quality, limits: QualityLimits) -> Iterator[str]:
    expected = quality.expected_count
    if expected is not None and quality.count != expected:
        way = "fewer" if quality.count < expected else "more"
        yield (
            f"{_plural(quality.count, 'needle')}, {abs(quality.count - expected)} {way} than the "
            f"{expected} expected."
        )
    if quality.crossing:
        yield f"Crossing: {_listed([pair.in_words() for pair in quality.crossing])}."
    if quality.near:
        near = [f"{p.first} and {p.second} ({p.distance_mm:.1f})" for p in quality.near]
        yield f"Nearer than {limits.spacing_mm:g} mm: {_listed(near)}."
    if quality.length_off:
        yield (
            f"Length outside {limits.length_mm:g} ± {limits.length_tolerance_mm:g} mm: "
            f"{', '.join(quality.length_off)}."
        )
    if quality.in_doubt:
        yield f"Open doubts: {', '.join(quality.in_doubt)}."
    for deviation in quality.deviations:
        if deviation.tip_mm > limits.deviation_mm:
            yield f"{deviation.in_words()}."
    if quality.not_planned:
        yield f"Without a planned line: {', '.join(quality.not_planned)}."
    if quality.not_found:
        yield f"Planned, but no needle there: {', '.join(quality.not_found)}."


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _LISTED_AT_MOST
    rest = f" and {more} more" if more > 0 else ""
    return ", ".join(items[:_LISTED_AT_MOST]) + rest


def _plural(count: int, noun: str) -> str:
    return f"{count or 'No'} {noun}{'' if count == 1 else 's'}"
