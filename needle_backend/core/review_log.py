"""Who changed what about a needle, and when: kept beside it as JSON, exported with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle

SOFTWARE = "NeedleGuide"
"""Who found what no person placed."""
_UNMOVED_MM = 0.05


class ReviewState(StrEnum):
    """How far a needle has come on its way to be planned with."""

    found = "found"
    edited = "edited"
    added = "added"
    accepted = "accepted"
    rejected = "rejected"


class Origin(StrEnum):
    """Who placed a needle's ends."""

    software = "software"
    software_and_person = "software, corrected by a person"
    person = "person"


@dataclass(frozen=True)
class ReviewEntry:
    """One thing that somebody did to a needle.

    Attributes
    ----------
    state
        The needle's state from then on.
    by
        Who did it: a login name, or :data:`SOFTWARE`.
    at
        When, UTC, ISO 8601 in whole seconds: "2026-03-01T14:05:09Z".
    what
        What was done, in words; empty when the state says it all.
    """

    state: ReviewState
    by: str
    at: str
    what: str = ""

    def in_words(self) -> str:
        """Return such as "edited by mueller 2026-03-01T14:05:09Z (tip moved by 2.1 mm)"."""
        if self.state is ReviewState.found and self.what:  # found it was before
            return f"{self.what} by {self.by} {self.at}"
        return f"{self.state} by {self.by} {self.at}" + (f" ({self.what})" if self.what else "")


@dataclass(frozen=True)
class ReviewLog:
    """All that was done to one needle, oldest first; nothing is ever taken out."""

    entries: tuple[ReviewEntry, ...] = ()

    @property
    def state(self) -> ReviewState:
        """The needle's state now; found, where nothing was noted."""
        return self.entries[-1].state if self.entries else ReviewState.found

    @property
    def origin(self) -> Origin:
        """Who placed the ends as they are now."""
        states = {entry.state for entry in self.entries}
        if ReviewState.added in states:
            return Origin.person
        return Origin.software_and_person if ReviewState.edited in states else Origin.software

    def with_entry(
        self, state: ReviewState, by: str, what: str = "", at: datetime | None = None
    ) -> ReviewLog:
        """Return this log and one more entry, of now unless ``at`` says otherwise."""
        moment = (at or datetime.now(UTC)).astimezone(UTC)
        entry = ReviewEntry(state, by, moment.strftime("%Y-%m-%dT%H:%M:%SZ"), what)
        return ReviewLog((*self.entries, entry))

    def in_words(self) -> str:
        """Return all entries in one line."""
        return "; ".join(entry.in_words() for entry in self.entries)

    def to_list(self) -> list[dict[str, str]]:
        """Return plain objects, for JSON that holds more than this log."""
        return [
            {"state": str(e.state), "by": e.by, "at": e.at, "what": e.what} for e in self.entries
        ]

    def to_json(self) -> str:
        """Return one line of JSON, as a node's attribute holds it."""
        return json.dumps(self.to_list(), ensure_ascii=False)

    @classmethod
    def from_list(cls, items: Sequence[dict[str, Any]]) -> ReviewLog:
        """Inverse of :meth:`to_list`.

        Raises
        ------
        InputError
            When an entry lacks its state, its author or its time.
        """
        try:
            return cls(
                tuple(
                    ReviewEntry(
                        ReviewState(item["state"]),
                        str(item["by"]),
                        str(item["at"]),
                        str(item.get("what", "")),
                    )
                    for item in items
                )
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "A needle's review history is damaged; remove it to go on without its history."
            ) from error

    @classmethod
    def from_json(cls, text: str | None) -> ReviewLog:
        """Inverse of :meth:`to_json`; nothing, or an empty text, is an empty log.

        Raises
        ------
        InputError
            When the text is something else.
        """
        try:
            items = json.loads(text or "[]")
        except ValueError:
            items = [None]
        return cls.from_list(items)


@dataclass(frozen=True)
class ReviewedNeedle:
    """A needle and what was done to it."""

    needle: Needle
    log: ReviewLog = field(default_factory=ReviewLog)

    @property
    def is_rejected(self) -> bool:
        """Whether somebody decided that this is no needle to plan with."""
        return self.log.state is ReviewState.rejected


def edit_in_words(before: Needle, after: Needle) -> str:
    """Say what an edit did to a needle: "tip moved by 2.1 mm, renumbered from N03"."""
    if (before.tip_lps, before.handle_lps) == (after.handle_lps, after.tip_lps):
        parts = ["tip and handle swapped"]
    else:
        ends = (("tip", "tip_lps"), ("handle", "handle_lps"))
        moved_mm = {
            name: float(np.linalg.norm(np.subtract(getattr(after, end), getattr(before, end))))
            for name, end in ends
        }
        parts = [f"{n} moved by {mm:.1f} mm" for n, mm in moved_mm.items() if mm >= _UNMOVED_MM]
    if before.id != after.id:
        parts.append(f"renumbered from {before.id}")
    return ", ".join(parts)
