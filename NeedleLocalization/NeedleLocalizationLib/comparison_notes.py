"""What the table says of needles held against others: short words, and longer ones to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from needle_backend.core.comparison import Compared, Comparison
from needle_backend.core.rescan import ChangeKind, NeedleChange
from NeedleLocalizationLib.implant import Implant

PLAN, REFERENCE, CHANGE = "plan", "reference", "change"


@dataclass(frozen=True)
class Note:
    """A cell's text, the sentence behind it, and what it is sorted by."""

    text: str
    sentence: str
    value: float


Notes = Mapping[str, Mapping[str, Note]]
"""Of each comparison that was made, one note for each needle by uid."""


def notes_of(implant: Implant, comparison: Comparison) -> Notes:
    """Return what the table adds for each comparison that was made.

    Parameters
    ----------
    comparison
        Of the implant's needles, in their order.
    """
    others = comparison.others
    made = {
        PLAN: (others.plan, _plan_note),
        REFERENCE: (others.reference, _reference_note),
        CHANGE: (others.before, _change_note),
    }
    return {
        name: {
            record.uid: note(compared)
            for record, compared in zip(implant.needles, comparison.needles, strict=True)
        }
        for name, (others_of_kind, note) in made.items()
        if others_of_kind
    }


def _plan_note(compared: Compared) -> Note:
    deviation = compared.deviation
    if deviation is None:
        return Note("–", _("There is no planned line here."), float("inf"))
    return Note(f"{deviation.tip_mm:.1f}", deviation.in_words(), deviation.tip_mm)


def _reference_note(compared: Compared) -> Note:
    error = compared.error
    if error is None:
        return Note("–", _("The reference has no needle here."), float("inf"))
    worse_mm = max(error.tip_mm, error.handle_mm)
    sentence = _(
        "{reference} of the reference: tip {tip:.1f} mm off, handle {handle:.1f} mm, {angle:.1f}°"
    ).format(
        reference=error.reference_id,
        tip=error.tip_mm,
        handle=error.handle_mm,
        angle=error.angle_deg,
    )
    return Note(f"{error.tip_mm:.1f} / {error.handle_mm:.1f}", sentence, worse_mm)


def _change_note(compared: Compared) -> Note:
    change = compared.change
    if change is None:
        return Note("–", _("Rejected needles are not compared."), float("inf"))
    return Note(_change_text(change), change.in_words(), _change_value(change))


def _change_text(change: NeedleChange) -> str:
    return _("new") if change.kind is ChangeKind.new else f"{change.moved_mm:.1f}"


def _change_value(change: NeedleChange) -> float:
    return float("inf") if change.kind is ChangeKind.new else change.moved_mm
