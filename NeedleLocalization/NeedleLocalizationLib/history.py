"""Undo and redo: the implants there have been, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from NeedleLocalizationLib.implant import Implant

LONGEST = 200


@dataclass(frozen=True)
class Step:
    """An implant, and in words what led to it."""

    what: str
    implant: Implant


class History:
    """Remembers implants; forgets the oldest beyond :data:`LONGEST` steps."""

    def __init__(self, implant: Implant) -> None:
        self._steps = [Step("", implant)]
        self._index = 0

    @property
    def present(self) -> Implant:
        """The implant as it should be in the scene."""
        return self._steps[self._index].implant

    @property
    def what_undo_takes_back(self) -> str:
        """What :meth:`undo` would take back, in words; empty when there is nothing."""
        is_first = self._index == 0
        return "" if is_first else self._steps[self._index].what

    @property
    def what_redo_repeats(self) -> str:
        """What :meth:`redo` would do again, in words; empty when there is nothing."""
        is_last = self._index + 1 == len(self._steps)
        return "" if is_last else self._steps[self._index + 1].what

    def add(self, what: str, implant: Implant) -> None:
        """Go on from here; what was undone can no longer be redone."""
        self._steps = [*self._steps[: self._index + 1], Step(what, implant)][-LONGEST - 1 :]
        self._index = len(self._steps) - 1

    def amend(self, implant: Implant) -> None:
        """Complete the present step with what became known later."""
        self._steps[self._index] = Step(self._steps[self._index].what, implant)

    def change_all(self, change: Callable[[Implant], Implant]) -> None:
        """Change every implant there has been; what can be undone stays so."""
        self._steps = [Step(step.what, change(step.implant)) for step in self._steps]

    def undo(self) -> Implant:
        """Go back one step if there is one."""
        self._index = max(0, self._index - 1)
        return self.present

    def redo(self) -> Implant:
        """Go forward one step if there is one."""
        self._index = min(len(self._steps) - 1, self._index + 1)
        return self.present
