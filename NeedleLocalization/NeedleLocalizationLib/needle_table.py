"""The table of a volume's needles, the doubtful ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.needles import Needle
from NeedleLocalizationLib.needle_nodes import needle_from_node

NEEDLE, LENGTH, CONFIDENCE, DOUBTS = range(4)
UNKNOWN = "–"
DOUBTFUL_BACKGROUND = (255, 179, 0, 70)
"""Amber, see-through: readable on light and on dark themes."""


class NeedleTable:
    """Fills a QTableWidget from needle nodes and tells which needle the user selects.

    Parameters
    ----------
    widget
        The table; its columns are made here.
    on_select
        Called with the node of the row that the user selects.
    """

    def __init__(
        self, widget: qt.QTableWidget, on_select: Callable[[vtkMRMLMarkupsLineNode], None]
    ) -> None:
        self.volume: vtkMRMLScalarVolumeNode | None = None
        self.nodes: list[vtkMRMLMarkupsLineNode] = []
        self._widget = widget
        self._on_select = on_select
        self._filling = False
        self._make_columns()
        widget.connect("itemSelectionChanged()", self._on_selection_changed)

    def fill(
        self, volume: vtkMRMLScalarVolumeNode | None, nodes: Sequence[vtkMRMLMarkupsLineNode]
    ) -> None:
        """Show a volume's needles; the needle selected stays selected if it is among them."""
        self.volume = volume
        selected = self.selected_node()
        rows = sorted(
            ((needle_from_node(node), node) for node in nodes),
            key=lambda row: doubtful_first(row[0]),
        )
        self.nodes = [node for _needle, node in rows]
        self._filling = True
        self._widget.setRowCount(len(rows))
        for row, (needle, node) in enumerate(rows):
            self._fill_row(row, needle, node)
        self._widget.resizeRowsToContents()
        self._widget.clearSelection()
        if selected in self.nodes:
            self._widget.selectRow(self.nodes.index(selected))
        self._filling = False

    def selected_node(self) -> vtkMRMLMarkupsLineNode | None:
        """Return the selected needle's node."""
        items = self._widget.selectedItems()
        return self.nodes[items[0].row()] if items else None

    def _make_columns(self) -> None:
        widget = self._widget
        widget.setColumnCount(4)
        widget.setHorizontalHeaderLabels([_("Needle"), _("Length"), _("Confidence"), _("To check")])
        widget.horizontalHeaderItem(LENGTH).setToolTip(
            _("From the tip to the centre of the hub, mm")
        )
        widget.horizontalHeaderItem(CONFIDENCE).setToolTip(
            _("Estimated probability that both ends are right")
        )
        header = widget.horizontalHeader()
        for column in (NEEDLE, LENGTH, CONFIDENCE):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(DOUBTS, qt.QHeaderView.Stretch)

    def _fill_row(self, row: int, needle: Needle, node: vtkMRMLMarkupsLineNode) -> None:
        texts = {
            NEEDLE: needle.id,
            LENGTH: f"{needle.length_mm:.1f} mm",
            CONFIDENCE: UNKNOWN
            if needle.confidence is None
            else f"{100 * needle.confidence:.0f} %",
            DOUBTS: "\n".join(needle.doubts),
        }
        for column, text in texts.items():
            item = qt.QTableWidgetItem(text)
            item.setToolTip("\n".join(needle.doubts))
            if column in (LENGTH, CONFIDENCE):
                item.setTextAlignment(qt.Qt.AlignCenter)
            if needle.doubts:
                item.setBackground(qt.QBrush(qt.QColor(*DOUBTFUL_BACKGROUND)))
            self._widget.setItem(row, column, item)
        colour = node.GetDisplayNode().GetSelectedColor()
        swatch = qt.QColor(*(round(255 * channel) for channel in colour))
        self._widget.item(row, NEEDLE).setData(qt.Qt.DecorationRole, swatch)

    def _on_selection_changed(self) -> None:
        node = self.selected_node()
        if node is not None and not self._filling:
            self._on_select(node)


def confidence_text(confidence: float | None) -> str:
    """Return a confidence in percent."""
    return UNKNOWN if confidence is None else f"{100 * confidence:.0f} %"


def doubtful_first(needle: Needle) -> tuple[bool, float, str]:
    """Return a sort key: needles with doubts, then by confidence (lowest first), then by number."""
    confidence = 1.0 if needle.confidence is None else needle.confidence
    return (not needle.doubts, confidence, needle.id)
