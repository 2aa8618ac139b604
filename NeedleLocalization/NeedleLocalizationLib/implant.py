"""All needles of a volume as one value, and what a reviewer does to them; knows no Slicer.

Every change returns a new implant, so that undoing is going back to the one before. Points lie in
RAS mm in the volume's own frame: a transform that moves the volume changes no implant.
"""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import dist

from needle_backend.core.markups import needle_colour
from needle_backend.core.needles import LocateResult, Needle, Point, as_point, number_needles
from needle_backend.core.review_log import (
    ReviewedNeedle,
    ReviewLog,
    ReviewState,
    edit_in_words,
)

Colour = tuple[float, float, float]

SAME_MM = 5.0
"""Needles whose ends are nearer than this are one needle, found twice."""


@dataclass(frozen=True)
class NeedleRecord:
    """One needle, what is known about it, and how it is shown.

    Attributes
    ----------
    uid
        The same for as long as the needle exists, whatever its number.
    id
        Its number, "N01".
    score
        Log-odds of the picture between its ends.
    confidence, doubts
        As in :class:`needle_backend.core.needles.Needle`; a needle that was moved has no
        confidence.
    log
        What was done to it; tells its state.
    editable
        Whether its ends can be dragged; one needle at most.
    """

    uid: str
    id: str
    tip_ras: Point
    handle_ras: Point
    score: float = 0.0
    confidence: float | None = None
    doubts: tuple[str, ...] = ()
    log: ReviewLog = field(default_factory=ReviewLog)
    colour: Colour = (1.0, 1.0, 0.0)
    visible: bool = True
    editable: bool = False

    @property
    def state(self) -> ReviewState:
        """How far its review has come."""
        return self.log.state

    @property
    def is_doubt_open(self) -> bool:
        """Whether there are doubts that nobody has decided on."""
        decided = (ReviewState.accepted, ReviewState.rejected)
        return bool(self.doubts) and self.state not in decided

    @property
    def ends_ras(self) -> tuple[Point, Point]:
        """Tip and handle."""
        return self.tip_ras, self.handle_ras

    @property
    def needle(self) -> Needle:
        """The backend's needle, LPS mm in the volume's frame."""
        return Needle(
            swap_lps_ras(self.tip_ras),
            swap_lps_ras(self.handle_ras),
            self.score,
            self.confidence,
            self.doubts,
            self.id,
        )

    def is_same_as(self, other: NeedleRecord) -> bool:
        """Tell whether both ends lie where another needle's do."""
        ends = zip(self.ends_ras, other.ends_ras, strict=True)
        return all(dist(mine, others) <= SAME_MM for mine, others in ends)

    def logged(self, state: ReviewState, what: str = "") -> NeedleRecord:
        """Return it with what the user has just done to it."""
        return replace(self, log=self.log.with_entry(state, user_name(), what))

    def numbered(self, id: str) -> NeedleRecord:
        """Return it under another number; its state stays."""
        if id == self.id:
            return self
        numbered = replace(self, id=id)
        return numbered.logged(self.state, edit_in_words(self.needle, numbered.needle))

    def in_frame(self, to_frame: Callable[[Point], Point]) -> NeedleRecord:
        """Return it where another frame has its ends; it lies where it lay."""
        return replace(self, tip_ras=to_frame(self.tip_ras), handle_ras=to_frame(self.handle_ras))

    def moved(self, tip_ras: Point, handle_ras: Point) -> NeedleRecord:
        """Return it with other ends; what was known of the old ends no longer holds."""
        moved = replace(
            self, tip_ras=tip_ras, handle_ras=handle_ras, score=0.0, confidence=None, doubts=()
        )
        return moved.logged(ReviewState.edited, edit_in_words(self.needle, moved.needle))


@dataclass(frozen=True)
class Implant:
    """A volume's needles by number, and the ends found that belong to none."""

    needles: tuple[NeedleRecord, ...] = ()
    lone_tips_ras: tuple[Point, ...] = ()
    lone_handles_ras: tuple[Point, ...] = ()

    def __getitem__(self, uid: str) -> NeedleRecord:
        return next(record for record in self.needles if record.uid == uid)

    def __contains__(self, uid: str) -> bool:
        return any(record.uid == uid for record in self.needles)

    def with_record(self, record: NeedleRecord) -> Implant:
        """Return it with a needle replaced by its new record."""
        changed = (record if old.uid == record.uid else old for old in self.needles)
        return self._with_needles(changed)

    def with_more(self, *records: NeedleRecord) -> Implant:
        """Return it with these needles too."""
        return self._with_needles((*self.needles, *records))

    def accepted(self, uids: Iterable[str]) -> Implant:
        """Accept needles."""
        return self._decided(uids, ReviewState.accepted)

    def rejected(self, uids: Iterable[str]) -> Implant:
        """Reject needles; they stay, faint, until they are deleted."""
        return self._decided(uids, ReviewState.rejected)

    def without(self, uid: str) -> Implant:
        """Delete a needle."""
        return self._with_needles(record for record in self.needles if record.uid != uid)

    def swapped(self, uid: str) -> Implant:
        """Swap a needle's tip and handle."""
        record = self[uid]
        return self.with_record(record.moved(record.handle_ras, record.tip_ras))

    def shown(self, uid: str, visible: bool) -> Implant:
        """Show or hide a needle."""
        return self.with_record(replace(self[uid], visible=visible))

    def unlocked(self, uid: str | None) -> Implant:
        """Let one needle's ends be dragged, and no other's; None locks all."""
        return self._with_needles(
            replace(record, editable=record.uid == uid) for record in self.needles
        )

    def renumbered(self) -> Implant:
        """Number all needles anew by where their handles are, without gaps."""
        ids: dict[tuple[Point, Point], list[str]] = {}
        for needle in number_needles([record.needle for record in self.needles]):
            ids.setdefault((needle.tip_lps, needle.handle_lps), []).append(needle.id)
        return self._with_needles(
            record.numbered(ids[record.needle.tip_lps, record.needle.handle_lps].pop(0))
            for record in self.needles
        )

    def with_needle(self, tip_ras: Point, handle_ras: Point) -> tuple[Implant, str]:
        """Add a needle that a person placed; return its uid too."""
        record = NeedleRecord(
            new_uid(), self.free_id(), tip_ras, handle_ras, colour=self.free_colour()
        ).logged(ReviewState.added)
        return self.with_more(record), record.uid

    def paired(self, tip: int, handle: int) -> tuple[Implant, str]:
        """Make a needle of a lone tip and a lone handle, given by their places."""
        tips, handles = list(self.lone_tips_ras), list(self.lone_handles_ras)
        implant, uid = self.with_needle(tips.pop(tip), handles.pop(handle))
        return replace(implant, lone_tips_ras=tuple(tips), lone_handles_ras=tuple(handles)), uid

    def in_frame(self, to_frame: Callable[[Point], Point]) -> Implant:
        """Return it with every point where another frame has it."""
        return Implant(
            tuple(record.in_frame(to_frame) for record in self.needles),
            tuple(map(to_frame, self.lone_tips_ras)),
            tuple(map(to_frame, self.lone_handles_ras)),
        )

    @property
    def reviewed(self) -> tuple[ReviewedNeedle, ...]:
        """The needles with what was done to them, as the backend knows them."""
        return tuple(ReviewedNeedle(record.needle, record.log) for record in self.needles)

    @property
    def hand_made(self) -> tuple[NeedleRecord, ...]:
        """The needles that a person accepted, placed or moved."""
        kept = (ReviewState.accepted, ReviewState.added, ReviewState.edited)
        return tuple(record for record in self.needles if record.state in kept)

    def keeping(self, kept: Iterable[NeedleRecord]) -> Implant:
        """Return it with needles of an earlier one in place of those found where they lie."""
        implant = replace(self, needles=())._with_needles(kept)
        taken = {record.id for record in implant.needles}
        # Last come those that need another number, when all others have theirs.
        for record in sorted(self.needles, key=lambda record: record.id in taken):
            if not any(record.is_same_as(other) for other in implant.needles):
                number = implant.free_id() if record.id in taken else record.id
                own = replace(record, id=number, colour=implant.free_colour())
                implant = implant.with_more(own)
        return implant

    def free_id(self) -> str:
        """Return the number after the last one."""
        numbers = [int(r.id[1:]) for r in self.needles if r.id[1:].isdecimal()]
        return f"N{max(numbers, default=0) + 1:02d}"

    def free_colour(self) -> Colour:
        """Return the first colour that no needle has."""
        used = {record.colour for record in self.needles}
        colours = (needle_colour(i) for i in range(len(used) + 1))
        return next(colour for colour in colours if colour not in used)

    def _decided(self, uids: Iterable[str], state: ReviewState) -> Implant:
        chosen = set(uids)
        return self._with_needles(
            record.logged(state) if record.uid in chosen and record.state != state else record
            for record in self.needles
        )

    def _with_needles(self, needles: Iterable[NeedleRecord]) -> Implant:
        return replace(self, needles=tuple(sorted(needles, key=by_number)))


def implant_of(result: LocateResult) -> Implant:
    """Return the implant that a localization found; its points must lie in the volume's frame."""
    records = (
        NeedleRecord(
            uid=new_uid(),
            id=needle.id,
            tip_ras=swap_lps_ras(needle.tip_lps),
            handle_ras=swap_lps_ras(needle.handle_lps),
            score=needle.score,
            confidence=needle.confidence,
            doubts=needle.doubts,
            colour=needle_colour(index),
        )
        for index, needle in enumerate(result.needles)
    )
    return Implant(
        tuple(sorted(records, key=by_number)),
        tuple(swap_lps_ras(point) for point in result.unmatched_tips),
        tuple(swap_lps_ras(point) for point in result.unmatched_handles),
    )


def by_number(record: NeedleRecord) -> tuple[str, str]:
    """Return a sort key: the number, and something that never changes."""
    return record.id, record.uid


def swap_lps_ras(point: Point) -> Point:
    """Turn LPS into RAS, or RAS into LPS, which is the same."""
    x, y, z = point
    return as_point((-x, -y, z))


def new_uid() -> str:
    """Return what no other needle has."""
    return uuid.uuid4().hex


def user_name() -> str:
    """Return who sits at the computer."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such account, as in containers
        return "unknown"
