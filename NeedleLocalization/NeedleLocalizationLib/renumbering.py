"""Numbers and colours taken over from an earlier CT of the same patient; knows no Slicer scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from needle_backend.core.markups import needle_colour
from needle_backend.core.needles import Needle
from needle_backend.core.rescan import carry_numbers_over
from needle_backend.core.review_log import ReviewState
from NeedleLocalizationLib.implant import Colour, Implant, NeedleRecord


def taken_over(
    implant: Implant, before: Sequence[Needle], colours: Mapping[str, Colour]
) -> Implant:
    """Return the implant under the numbers and in the colours of the needles before.

    Rejected needles are no needles: they keep their numbers where nobody else has them.

    Parameters
    ----------
    before
        Needles of the earlier CT in the implant's frame, LPS mm.
    colours
        Theirs, by number.

    Raises
    ------
    InputError
        When two needles of the earlier CT have the same number.
    """
    kept = [r for r in implant.needles if r.state is not ReviewState.rejected]
    rescan = carry_numbers_over(before, [record.needle for record in kept])
    ids = {r.uid: needle.id for r, needle in zip(kept, rescan.needles, strict=True)}

    def found_again_first_and_rejected_last(record: NeedleRecord) -> tuple[bool, bool]:
        return record.uid not in ids, ids.get(record.uid) not in colours

    renumbered = replace(implant, needles=())
    for record in sorted(implant.needles, key=found_again_first_and_rejected_last):
        is_taken = any(record.id == other.id for other in renumbered.needles)
        number = ids.get(record.uid) or (renumbered.free_id() if is_taken else record.id)
        used = {*colours.values(), *(other.colour for other in renumbered.needles)}
        colour = record.colour if record.colour not in used else _free_colour(used)
        renumbered = renumbered.with_more(
            replace(record.numbered(number), colour=colours.get(number, colour))
        )
    return renumbered


def _free_colour(used: set[Colour]) -> Colour:
    return next(colour for i in count() if (colour := needle_colour(i)) not in used)
