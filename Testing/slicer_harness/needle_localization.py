"""What the tests of NeedleLocalization share: localizers that obey, and what its panel shows."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer

from needle_backend.core.needles import LocateOptions, LocateResult, Needle, NeedleCount
from needle_backend.core.progress import CancelToken, Progress
from needle_backend.core.volume import Volume

IMPLANT = tuple(
    Needle(
        tip_lps=(-35.0 + 10 * (i % 8), -30.0 + 12 * (i // 8), 5.0 + i % 3),
        handle_lps=(-36.0 + 10.4 * (i % 8), -31.0 + 12.4 * (i // 8), -178.0 - i % 5),
        score=30.0 - i,
        confidence=0.99 - 0.01 * i,
        id=f"N{i + 1:02d}",
    )
    for i in range(16)
)
DOUBTS = {
    4: ("a neighbour's axis is 2.1 mm away over 60 mm",),
    9: ("the shaft fades below 100 HU for 35 mm", "length 141 mm, others 187 mm"),
    12: ("the tip was seen on one slice only",),
}
DOUBTED = tuple(
    replace(needle, doubts=DOUBTS[i], confidence=0.7 - 0.05 * i) if i in DOUBTS else needle
    for i, needle in enumerate(IMPLANT)
)


def result_of(needles: tuple[Needle, ...], **details: Any) -> LocateResult:
    return LocateResult(needles, NeedleCount(len(needles), estimated=True), **details)


@dataclass
class SlowLocalizer:
    """Works until it is let go or cancelled; then returns what it was given."""

    result: LocateResult = field(
        default_factory=lambda: LocateResult(IMPLANT[:2], NeedleCount(2, True))
    )
    go_on: threading.Event = field(default_factory=threading.Event)
    was_cancelled: bool = False

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        progress("network", 0.5)
        while not self.go_on.wait(0.01):
            self.was_cancelled = cancel.is_cancelled
            cancel.raise_if_cancelled()
        return self.result


@dataclass
class BusyLocalizer(SlowLocalizer):
    """Keeps Python itself busy, without ever waiting."""

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        progress("network", 0.5)
        while not self.go_on.is_set():
            cancel.raise_if_cancelled()
        return self.result


@dataclass
class FailingLocalizer:
    """Raises what it was given."""

    error: Exception

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        raise self.error


@dataclass
class QuickLocalizer:
    """Returns what it was given, at once."""

    result: LocateResult

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        return self.result

    def score(self, volume: Volume, lines_lps: np.ndarray) -> np.ndarray:
        """Tell that every line is a needle as surely as its tip is far to the left."""
        return lines_lps[:, 0, 0]


def lines() -> list[Any]:
    """Return the line markups in the scene."""
    return slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


def cells(panel: Any) -> list[list[str]]:
    """Return the texts of the panel's table, row by row."""
    table = panel.ui.needleTable
    shown = [column for column in range(table.columnCount) if not table.isColumnHidden(column)]
    return [[table.item(row, column).text() for column in shown] for row in range(table.rowCount)]


def save_picture(panel: Any, path: Path) -> None:
    """Save the panel as the screen would show it; fail on a blank picture."""
    panel.parent.resize(440, 760)
    panel.parent.show()
    slicer.app.processEvents()
    image = panel.parent.grab().toImage()
    colours = {image.pixel(x, y) for x in range(0, 440, 3) for y in range(0, 760, 3)}
    assert len(colours) > 20
    assert image.save(str(path))


def row_of(panel: Any, number: str) -> int:
    """Return the row of a needle."""
    return [row[0] for row in cells(panel)].index(number)


def select(panel: Any, number: str) -> Any:
    """Select a needle's row as a user does, and return its line."""
    panel.ui.needleTable.setCurrentCell(row_of(panel, number), 0)
    return slicer.util.getNode(number)


def assert_scene_and_table_agree(panel: Any) -> None:
    """Compare each row with its line in the scene, and history and comparisons with both."""
    from NeedleLocalizationLib.needle_nodes import VOLUME_REFERENCE, read_implant
    from NeedleLocalizationLib.needle_table import LOCKED, SHOWN

    slicer.app.processEvents()
    volume_node = panel.ui.volumeSelector.currentNode()
    lines_of_volume = {
        line.GetName(): line
        for line in lines()
        if volume_node and line.GetNodeReferenceID(VOLUME_REFERENCE) == volume_node.GetID()
    }
    table = panel.ui.needleTable
    assert {row[0] for row in cells(panel)} == set(lines_of_volume)
    assert table.rowCount == len(lines_of_volume)
    for row, texts in enumerate(cells(panel)):
        line = lines_of_volume[texts[0]]
        log = json.loads(line.GetAttribute("NeedleGuide.log"))
        is_locked = all(line.GetNthControlPointLocked(i) for i in range(2)) or line.GetLocked()
        assert line.GetTransformNodeID() == volume_node.GetTransformNodeID()
        assert texts[1] == f"{line.GetLineLengthWorld():.1f}"
        assert texts[4] == (log[-1]["state"] if log else "found")
        assert texts[7] == "; ".join(json.loads(line.GetAttribute("NeedleGuide.doubts")))
        assert is_checked(table.item(row, SHOWN)) == bool(line.GetDisplayNode().GetVisibility())
        assert is_checked(table.item(row, LOCKED)) == is_locked
    review = panel._review._review
    assert (review is None) == (volume_node is None)
    if review is not None:
        assert review.implant == read_implant(volume_node)
        assert_comparisons_agree(table, review)
    names = {node.GetName() for node in panel._review._observer._tags}
    assert names == set(lines_of_volume)


def assert_comparisons_agree(table: Any, review: Any) -> None:
    """Compare each column of a comparison with what the scene's lines say now."""
    from NeedleLocalizationLib.comparing import compare, others_in_frame
    from NeedleLocalizationLib.comparison_notes import notes_of
    from NeedleLocalizationLib.needle_table import NEEDLE, NOTE_COLUMNS

    comparison, _ = compare(review.implant.reviewed, others_in_frame(review.volume_node))
    notes = notes_of(review.implant, comparison)
    for column, name in NOTE_COLUMNS.items():
        assert table.isColumnHidden(column) == (name not in notes)
        shown = sorted(
            (table.item(row, NEEDLE).text(), table.item(row, column).text())
            for row in range(table.rowCount if name in notes else 0)
        )
        of_needle = notes.get(name, {})
        assert shown == sorted(
            (record.id, of_needle[record.uid].text)
            for record in review.implant.needles
            if of_needle
        )


def is_checked(item: Any) -> bool:
    """Tell whether a cell's box is ticked."""
    return item.checkState() == qt.Qt.Checked
