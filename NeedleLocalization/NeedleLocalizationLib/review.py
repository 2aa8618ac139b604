"""One volume's needles under review: what is done to them, in the scene and in the history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from slicer import vtkMRMLScalarVolumeNode

from needle_backend.core.needles import Point, as_point
from NeedleLocalizationLib.history import History
from NeedleLocalizationLib.implant import Implant
from NeedleLocalizationLib.judging import judged
from NeedleLocalizationLib.needle_nodes import read_implant, write_implant


class Review:
    """Keeps scene and history the same, whoever changes the needles.

    Parameters
    ----------
    volume_node
        Its needles are read from the scene; what was done before cannot be undone.
    """

    def __init__(self, volume_node: vtkMRMLScalarVolumeNode) -> None:
        self.volume_node = volume_node
        self.history = History(read_implant(volume_node))

    @property
    def implant(self) -> Implant:
        """The needles as they are."""
        return self.history.present

    def act(self, what: str, implant: Implant, placed: Iterable[str] = ()) -> None:
        """Put an implant into the scene in place of the present one; can be undone.

        The needles ``placed`` are judged by where they are now.
        """
        for uid in placed:
            implant = judged(implant, uid)
        if implant != self.implant:
            write_implant(self.volume_node, implant)
            self.history.add(what, implant)

    def notice(self) -> list[str]:
        """Take over what was done in the views or elsewhere in Slicer; return who was moved."""
        before, found = self.implant, read_implant(self.volume_node)
        if found == before:
            return []
        moved = [
            record.uid
            for record in found.needles
            if record.uid in before and record.ends_ras != before[record.uid].ends_ras
        ]
        for uid in moved:
            placed = replace(
                found[uid], tip_ras=before[uid].tip_ras, handle_ras=before[uid].handle_ras
            )
            found = found.with_record(placed.moved(*found[uid].ends_ras))
        for record in found.needles:
            if record.uid in before and record.id != before[record.uid].id:
                numbered_before = replace(record, id=before[record.uid].id)
                found = found.with_record(numbered_before.numbered(record.id))
        self.act(change_in_words(before, found), found, moved)
        return moved

    def take_score(self, uid: str, ends_ras: tuple[Point, Point], log_odds: float) -> None:
        """Complete the last step with a score, unless the needle has changed since it was asked.

        What is being changed in the scene, and is not noticed yet, must not be taken back either.
        """
        implant = self.implant
        is_asked_for = uid in implant and implant[uid].ends_ras == ends_ras
        if is_asked_for and read_implant(self.volume_node) == implant:
            scored = judged(implant, uid, log_odds)
            write_implant(self.volume_node, scored)
            self.history.amend(scored)

    def enter_frame(self, to_frame: np.ndarray) -> None:
        """Go on in another frame of the volume's own, in which the scene has the needles already.

        Parameters
        ----------
        to_frame
            4 x 4, from the frame there was, RAS mm.
        """

        def moved(point: Point) -> Point:
            return as_point(to_frame[:3, :3] @ point + to_frame[:3, 3])

        self.history.change_all(lambda implant: implant.in_frame(moved))
        self.history.amend(read_implant(self.volume_node))  # equal but for rounding

    def undo(self) -> str:
        """Take the last step back; return what it was."""
        what = self.history.what_undo_takes_back
        write_implant(self.volume_node, self.history.undo())
        return what

    def redo(self) -> str:
        """Do again what was taken back; return what it was."""
        what = self.history.what_redo_repeats
        write_implant(self.volume_node, self.history.redo())
        return what


def change_in_words(before: Implant, after: Implant) -> str:
    """Say what was done to an implant outside the panel."""
    old = {record.uid: record for record in before.needles}
    new = {record.uid: record for record in after.needles}
    gone = [record.id for uid, record in old.items() if uid not in new]
    added = [record.id for uid, record in new.items() if uid not in old]
    moved = [
        record.id
        for uid, record in new.items()
        if uid in old and record.ends_ras != old[uid].ends_ras
    ]
    for ids, what in ((moved, "move"), (gone, "delete"), (added, "add")):
        if ids:
            return f"{what} {', '.join(ids)}"
    return "change looks or numbers"
