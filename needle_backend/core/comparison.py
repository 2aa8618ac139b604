"""A volume's needles held against others: a plan, a reference set, an earlier CT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from needle_backend.core.needles import Needle
from needle_backend.core.quality import Deviation, compare_with_plan
from needle_backend.core.reference import NeedleError, ReferenceComparison, compare_with_reference
from needle_backend.core.rescan import ChangeKind, NeedleChange, Rescan, carry_numbers_over
from needle_backend.core.review_log import ReviewedNeedle


@dataclass(frozen=True)
class Others:
    """What a volume's needles are held against, LPS mm in their frame; empty: not compared.

    Attributes
    ----------
    plan
        Planned lines, from the tip outwards.
    reference
        The same needles as somebody else sees them.
    before
        Needles of an earlier CT of the same patient, numbered.
    """

    plan: tuple[Needle, ...] = ()
    reference: tuple[Needle, ...] = ()
    before: tuple[Needle, ...] = ()


@dataclass(frozen=True)
class Compared:
    """One needle in each comparison; None where it has no counterpart."""

    deviation: Deviation | None = None
    error: NeedleError | None = None
    change: NeedleChange | None = None


@dataclass(frozen=True)
class Comparison:
    """A volume's needles against others.

    Attributes
    ----------
    others
        What they were held against.
    needles
        One for each needle, in the needles' order; rejected ones have no counterparts.
    reference, rescan
        The whole of these comparisons, None where there is nothing to compare with.
    drawn_backwards
        Names of the sets whose lines seem to begin at the handle.
    """

    others: Others = field(default_factory=Others)
    needles: tuple[Compared, ...] = ()
    reference: ReferenceComparison | None = None
    rescan: Rescan | None = None
    drawn_backwards: tuple[str, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """Return what changed since the earlier CT, and how well the reference is met.

        Deviations from a plan are told by :func:`needle_backend.core.quality.check_quality`.
        """
        told = [
            f"The {name} seems to be drawn from the handles; draw each line from its tip outwards."
            for name in self.drawn_backwards
        ]
        if self.rescan is not None:
            changed = [c for c in self.rescan.changes if c.kind is not ChangeKind.still]
            told += [self.rescan.in_words(), *(f"{change.in_words()}." for change in changed)]
        if self.reference is not None:
            told.append(self.reference.in_words())
            if self.reference.missed:
                told.append(f"Only in the reference: {', '.join(self.reference.missed)}.")
            if self.reference.false:
                told.append(f"Not in the reference: {', '.join(self.reference.false)}.")
        return tuple(told)


def hold_against(reviewed: Sequence[ReviewedNeedle], others: Others) -> Comparison:
    """Find the counterparts of the needles that nobody rejected.

    Raises
    ------
    InputError
        When two needles of the earlier CT have the same number.
    """
    kept = [place for place, item in enumerate(reviewed) if not item.is_rejected]
    needles = [reviewed[place].needle for place in kept]
    # By place, as two needles may have the same number while they are renumbered by hand.
    by_place = [replace(needle, id=str(place)) for place, needle in enumerate(needles)]
    deviations, _, _ = compare_with_plan(by_place, others.plan)
    reference = compare_with_reference(needles, others.reference) if others.reference else None
    errors = compare_with_reference(by_place, others.reference).errors if reference else ()
    rescan = carry_numbers_over(others.before, needles) if others.before else None

    found = [Compared()] * len(needles)
    for deviation in deviations:
        place = int(deviation.id)
        own = replace(deviation, id=needles[place].id)
        found[place] = replace(found[place], deviation=own)
    for error in errors:
        place = int(error.id)
        found[place] = replace(found[place], error=replace(error, id=needles[place].id))
    if rescan is not None:
        change_of = {change.id: change for change in rescan.changes}
        for place, numbered in enumerate(rescan.needles):
            found[place] = replace(found[place], change=change_of[numbered.id])
    compared = [Compared()] * len(reviewed)
    for place, one in zip(kept, found, strict=True):
        compared[place] = one
    backwards = {
        "plan": _fit_better_reversed(needles, others.plan, lambda n, p: compare_with_plan(n, p)[0]),
        "reference": _fit_better_reversed(
            needles, others.reference, lambda n, r: compare_with_reference(n, r).errors
        ),
    }
    names = tuple(name for name, is_backwards in backwards.items() if is_backwards)
    return Comparison(others, tuple(compared), reference, rescan, names)


def _fit_better_reversed(
    needles: Sequence[Needle],
    lines: Sequence[Needle],
    pair: Callable[[Sequence[Needle], Sequence[Needle]], Sequence[object]],
) -> bool:
    """Tell whether more needles had a counterpart if the lines were turned round."""
    paired = len(pair(needles, lines))
    if 2 * paired >= min(len(needles), len(lines)):
        return False
    turned = [replace(n, tip_lps=n.handle_lps, handle_lps=n.tip_lps) for n in lines]
    return len(pair(needles, turned)) > 2 * paired
