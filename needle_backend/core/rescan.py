"""A second CT of the same patient: needles keep their numbers, and what changed is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle, Point, as_point
from needle_backend.core.pairing import ends_of, pair_nearest

GATE_MM = 20.0
"""A needle's ends may move by this much on average and it is still the same needle."""
STILL_MM = 2.0
"""Ends that moved less than this lie where they lay: as exactly as needles are found."""
TOGETHER_MM = 2.0
_ALIKE_MM = 4.0
_CLEARLY = 1.3
_TRIED, _JUDGED_BY = 6, 20

_NUMBER = re.compile(r"N(\d+)")


class ChangeKind(StrEnum):
    """What became of a needle from one CT to the next."""

    still = "still"
    moved = "moved"
    new = "new"
    gone = "gone"


@dataclass(frozen=True)
class NeedleChange:
    """What became of one needle.

    Attributes
    ----------
    id
        The needle's number, the same on both CTs.
    tip_moved_mm, handle_moved_mm
        How far each end moved; 0 for needles that are new or gone.
    deeper_mm
        How far the tip moved along the needle, positive into the patient.
    """

    id: str
    kind: ChangeKind
    tip_moved_mm: float = 0.0
    handle_moved_mm: float = 0.0
    deeper_mm: float = 0.0

    def in_words(self) -> str:
        """Return one line, such as "N03 moved: tip by 8.2 mm (8.0 mm deeper), handle by 8.1 mm"."""
        if self.kind is ChangeKind.new:
            return f"{self.id} is new"
        if self.kind is ChangeKind.gone:
            return f"{self.id} is gone"
        if self.kind is ChangeKind.still:
            return f"{self.id} lies where it lay (within {self.moved_mm:.1f} mm)"
        tip = f"tip by {self.tip_moved_mm:.1f} mm"
        if abs(self.deeper_mm) >= STILL_MM:
            way = "deeper" if self.deeper_mm > 0 else "further out"
            tip += f" ({abs(self.deeper_mm):.1f} mm {way})"
        return f"{self.id} moved: {tip}, handle by {self.handle_moved_mm:.1f} mm"

    @property
    def moved_mm(self) -> float:
        """How far the end that moved more moved."""
        return max(self.tip_moved_mm, self.handle_moved_mm)


@dataclass(frozen=True)
class Rescan:
    """The needles of a second CT under the first one's numbers.

    Attributes
    ----------
    needles
        Those of the second CT in the order they were given.
    changes
        One for each needle that either CT has, by number.
    common_shift_lps
        Median way the ends of the needles found again went, LPS mm; None when there is none.
    moved_together
        Whether most needles went that same way: then rather the patient moved.
    """

    needles: tuple[Needle, ...]
    changes: tuple[NeedleChange, ...]
    common_shift_lps: Point | None
    moved_together: bool

    def of_kind(self, kind: ChangeKind) -> tuple[NeedleChange, ...]:
        """Return the changes of one kind, by number."""
        return tuple(change for change in self.changes if change.kind is kind)

    def in_words(self) -> str:
        """Return one sentence or two for a status line."""
        count = Counter(change.kind for change in self.changes)
        parts = [f"{count[kind]} {kind}" for kind in ChangeKind if count[kind]]
        sentence = f"Against the CT before: {', '.join(parts) or 'no needles on either'}."
        if self.moved_together and self.common_shift_lps is not None:
            shift_mm = float(np.linalg.norm(self.common_shift_lps))
            sentence += (
                f" Most needles moved alike by {shift_mm:.0f} mm, so the patient may lie "
                "differently: align the two CTs to see what the needles did."
            )
        return sentence


def carry_numbers_over(
    before: Sequence[Needle], after: Sequence[Needle], gate_mm: float = GATE_MM
) -> Rescan:
    """Give a second CT's needles the numbers of the nearest needles on the first.

    Needles are paired one to one by the mean distance of their two ends, beyond the way that most
    of them went together, if any: a patient who lies differently. Others get numbers that the first
    CT did not use, so that no number ever means two needles.

    Parameters
    ----------
    before, after
        Needles of the two CTs in the same frame; those before are numbered.
    gate_mm
        Needles whose ends are farther away than this on average are different needles.

    Raises
    ------
    InputError
        When two needles before have the same number.
    """
    _check_numbers(before)
    ends_before, ends_after = ends_of(before), ends_of(after)
    way = ends_after[None] - ends_before[:, None]
    own_way = way - _way_of_most(way, gate_mm)
    pairs = pair_nearest(_mean_length(own_way), gate_mm)
    id_of = {int(new): before[old].id for old, new in pairs}
    first_free = max((_number(needle.id) for needle in before), default=0) + 1
    unpaired = [i for i in range(len(after)) if i not in id_of]
    id_of |= {i: f"N{number:02d}" for number, i in enumerate(unpaired, start=first_free)}
    changes = [_found_again(before[old], after[new]) for old, new in pairs]
    changes += [NeedleChange(id_of[i], ChangeKind.new) for i in unpaired]
    kept = {before[old].id for old, _ in pairs}
    changes += [NeedleChange(n.id, ChangeKind.gone) for n in before if n.id not in kept]
    shift, together = _common_shift(way[pairs[:, 0], pairs[:, 1]])
    return Rescan(
        needles=tuple(replace(needle, id=id_of[i]) for i, needle in enumerate(after)),
        changes=tuple(sorted(changes, key=lambda change: (_number(change.id), change.id))),
        common_shift_lps=shift,
        moved_together=together,
    )


def _check_numbers(needles: Sequence[Needle]) -> None:
    for id, times in Counter(needle.id for needle in needles).items():
        if times > 1:
            raise InputError(
                f"{times} needles of the first CT are called {id or 'nothing'}; number them first."
            )


def _number(id: str) -> int:
    match = _NUMBER.fullmatch(id)
    return int(match[1]) if match else 0


def _way_of_most(way: np.ndarray, gate_mm: float) -> np.ndarray:
    """Return the way (3,) that most needles can have gone together; none unless most clearly did.

    Ways from some needles of the first CT to those near on the second are tried, and each is judged
    by how near it brings those of the first to any of the second.
    """
    few, more = (way[:: max(1, len(way) // number)] for number in (_TRIED, _JUDGED_BY))
    tried = few[_mean_length(few) <= gate_mm].mean(axis=-2)

    def brought_near(shift: np.ndarray) -> float:
        off_mm = _mean_length(more - shift).min(axis=1, initial=np.inf)
        return float(np.maximum(0.0, 1.0 - off_mm / _ALIKE_MM).sum())

    still = np.zeros(3)
    best = max((still, *tried), key=brought_near)
    return best if brought_near(best) > _CLEARLY * brought_near(still) else still


def _mean_length(way: np.ndarray) -> np.ndarray:
    """Return how far the two ends of (..., 2, 3) ways went on average."""
    return np.sqrt(np.einsum("...i,...i->...", way, way)).mean(axis=-1)


def _found_again(before: Needle, after: Needle) -> NeedleChange:
    way_tip, way_handle = np.subtract(
        (after.tip_lps, after.handle_lps), (before.tip_lps, before.handle_lps)
    )
    inwards = np.subtract(before.tip_lps, before.handle_lps)
    tip_mm, handle_mm = float(np.linalg.norm(way_tip)), float(np.linalg.norm(way_handle))
    kind = ChangeKind.still if max(tip_mm, handle_mm) < STILL_MM else ChangeKind.moved
    deeper_mm = float(way_tip @ inwards / max(before.length_mm, 1e-9))
    return NeedleChange(before.id, kind, tip_mm, handle_mm, deeper_mm)


def _common_shift(ways_lps: np.ndarray) -> tuple[Point | None, bool]:
    """Return the median way of (k, 2, 3) ends, and whether most of three or more went it."""
    if len(ways_lps) == 0:
        return None, False
    shift = np.median(ways_lps.reshape(-1, 3), axis=0)
    off_mm = np.linalg.norm(ways_lps - shift, axis=-1).max(axis=-1)
    together = len(ways_lps) >= 3 and float(np.mean(off_mm <= TOGETHER_MM)) > 0.5
    return as_point(shift), together and float(np.linalg.norm(shift)) >= STILL_MM
