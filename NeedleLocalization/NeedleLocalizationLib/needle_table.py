"""The table of a volume's needles, those with open doubts first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import qt
from slicer.i18n import tr as _

from needle_backend.core.needles import confidence_in_words
from needle_backend.core.quality import angle_to_axial_deg
from needle_backend.core.review_log import ReviewState
from NeedleLocalizationLib.comparison_notes import CHANGE, PLAN, REFERENCE, Notes
from NeedleLocalizationLib.implant import Implant, NeedleRecord

NEEDLE, LENGTH, ANGLE, CONFIDENCE, STATE, SHOWN, LOCKED, DOUBTS = range(8)
OFF_PLAN, OFF_REFERENCE, MOVED = range(8, 11)
NOTE_COLUMNS = {OFF_PLAN: PLAN, OFF_REFERENCE: REFERENCE, MOVED: CHANGE}
"""Shown where such a comparison was made."""
UNKNOWN = "–"
DOUBTFUL_BACKGROUND = (255, 179, 0, 70)
ACCEPTED_BACKGROUND = (60, 180, 75, 70)
"""Amber and green, see-through: readable on light and on dark themes."""
REJECTED_TEXT = (140, 140, 140)

HEADERS = (
    (_("Needle"), _("Number and colour of the needle")),
    (_("mm"), _("Length from the tip to the centre of the hub")),
    (_("Angle"), _("Angle to the axial plane, degrees")),
    (_("Sure"), _("Estimated probability that both ends are right; unknown once edited")),
    (_("State"), _("Found, edited, added, accepted or rejected")),
    (_("Show"), _("Whether the needle is seen in the views")),
    (_("Lock"), _("Unlock a needle to drag its ends; all others are locked then")),
    (_("To check"), _("Reasons to look at this needle twice")),
    (_("Plan"), _("Distance of the tip from its planned place, mm")),
    (_("Ref."), _("Distance of tip and handle from the reference's, mm")),
    (_("Moved"), _("How far the end that moved more moved since the earlier CT, mm")),
)
WIDTHS_PX = {NEEDLE: 54, LENGTH: 44, ANGLE: 44, CONFIDENCE: 48, STATE: 60, SHOWN: 38, LOCKED: 36}
WIDTHS_PX |= {OFF_PLAN: 40, OFF_REFERENCE: 62, MOVED: 48}
"""Narrow, so that there is room for the reasons to look twice."""
LEAST_PX, LEAST_OF_DOUBTS_PX, ROW_PX = 36, 80, 24
STATES = {
    ReviewState.found: _("found"),
    ReviewState.edited: _("edited"),
    ReviewState.added: _("added"),
    ReviewState.accepted: _("accepted"),
    ReviewState.rejected: _("rejected"),
}

Handler = Callable[[NeedleRecord], None]


class NeedleTable:
    """Fills a QTableWidget from an implant, and tells what the user does with its rows.

    Parameters
    ----------
    widget
        The table; its columns are made here.
    on_select, on_show, on_lock
        Called with the needle whose row was selected, whose box "Show" or "Lock" was clicked.
    """

    def __init__(
        self, widget: qt.QTableWidget, on_select: Handler, on_show: Handler, on_lock: Handler
    ) -> None:
        self._widget = widget
        self._on_select = on_select
        self._on_box = {SHOWN: on_show, LOCKED: on_lock}
        self._rows: list[NeedleRecord] = []
        self._notes: Notes = {}
        self._sorted_by, self._is_descending = DOUBTS, False
        self._silent = False
        self._make_columns()
        widget.connect("itemSelectionChanged()", self._on_selection_changed)
        widget.connect("cellClicked(int,int)", self._on_cell_clicked)
        header = widget.horizontalHeader()
        header.connect("sectionClicked(int)", self._on_header_clicked)

    @property
    def uids(self) -> list[str]:
        """The needles, row by row."""
        return [record.uid for record in self._rows]

    @property
    def selected(self) -> NeedleRecord | None:
        """The needle of the selected row."""
        row = self._widget.currentRow()
        items = self._widget.selectedItems()
        return self._rows[row] if items and 0 <= row < len(self._rows) else None

    def fill(self, implant: Implant) -> None:
        """Show an implant; known needles keep their rows, the selected one stays selected."""
        selected = self.selected
        place = {uid: row for row, uid in enumerate(self.uids)}
        if any(record.uid in place for record in implant.needles):
            # New needles on top, where they are seen.
            rows = sorted(implant.needles, key=lambda record: place.get(record.uid, -1))
        else:
            rows = self._in_order(implant.needles)
        self._show(rows, selected and selected.uid)

    def sort(self) -> None:
        """Order the rows anew."""
        selected = self.selected
        self._show(self._in_order(self._rows), selected and selected.uid)

    def annotate(self, notes: Notes) -> None:
        """Show how the needles compare with others; columns without a comparison are hidden."""
        self._notes = notes
        self._show_notes()

    def sentences_of(self, record: NeedleRecord | None) -> list[str]:
        """Return how a needle compares with others, in words."""
        notes = [of_needle.get(record and record.uid) for of_needle in self._notes.values()]
        return [note.sentence for note in notes if note is not None]

    def show_dragged(self, record: NeedleRecord) -> None:
        """Show what becomes of a needle while it is dragged; its row stays otherwise as it was."""
        row = self.uids.index(record.uid)
        for column in (LENGTH, ANGLE, CONFIDENCE, DOUBTS):
            self._widget.item(row, column).setText(cell_text(record, column))

    def select(self, uid: str | None, silently: bool = False) -> None:
        """Select a needle's row; silently, nobody is told."""
        self._silent = silently
        if uid in self.uids:
            self._widget.setCurrentCell(self.uids.index(uid), NEEDLE)
        else:
            self._widget.clearSelection()
        self._silent = False

    def step(self, by: int) -> None:
        """Select the row ``by`` rows further down, staying in the table."""
        if self._rows:
            row = self._widget.currentRow() if self.selected else (-1 if by > 0 else 0)
            row = min(max(row + by, 0), len(self._rows) - 1)
            self._widget.setCurrentCell(row, NEEDLE)

    def _make_columns(self) -> None:
        widget = self._widget
        widget.setColumnCount(len(HEADERS))
        widget.setHorizontalHeaderLabels([title for title, _tip in HEADERS])
        header = widget.horizontalHeader()
        for column, (_title, tip) in enumerate(HEADERS):
            widget.horizontalHeaderItem(column).setToolTip(tip)
            header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
        for column, width_px in WIDTHS_PX.items():
            widget.setColumnWidth(column, width_px)
        header.setMinimumSectionSize(LEAST_PX)
        for column in (SHOWN, LOCKED):
            header.moveSection(header.visualIndex(column), len(HEADERS) - 1)
        widget.verticalHeader().setDefaultSectionSize(ROW_PX)
        header.setSortIndicatorShown(True)
        self._show_order()

    def _show(self, rows: Sequence[NeedleRecord], selected_uid: str | None) -> None:
        self._silent = True
        widget, shown = self._widget, self._rows
        self._rows = list(rows)
        widget.setRowCount(len(rows))
        for row, record in enumerate(rows):
            if row >= len(shown) or shown[row] != record:
                self._fill_row(row, record)
        self._show_notes()
        if selected_uid in self.uids:
            widget.setCurrentCell(self.uids.index(selected_uid), NEEDLE)
        else:
            widget.clearSelection()
        self._silent = False

    def _fill_row(self, row: int, record: NeedleRecord) -> None:
        for column, text_of in CELL_TEXTS.items():
            told = record.log.in_words() if column == STATE else "\n".join(record.doubts)
            item = self._put(row, column, text_of(record), told)
            if column in self._on_box:
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                is_on = record.visible if column == SHOWN else not record.editable
                item.setCheckState(qt.Qt.Checked if is_on else qt.Qt.Unchecked)
        swatch = qt.QColor(*(round(255 * channel) for channel in record.colour))
        self._widget.item(row, NEEDLE).setData(qt.Qt.DecorationRole, swatch)

    def _show_notes(self) -> None:
        for column, name in NOTE_COLUMNS.items():
            notes = self._notes.get(name, {})
            self._widget.setColumnHidden(column, not notes)
            for row, record in enumerate(self._rows):
                if note := notes.get(record.uid):
                    self._put(row, column, note.text, note.sentence)
        self._share_width()

    def _share_width(self) -> None:
        """Give the doubts what is left, or where that is too little, let the table be scrolled."""
        widget, header = self._widget, self._widget.horizontalHeader()
        others = (c for c in range(len(HEADERS)) if c != DOUBTS and not widget.isColumnHidden(c))
        left_px = widget.viewport().width - sum(map(widget.columnWidth, others))
        is_enough = left_px >= LEAST_OF_DOUBTS_PX
        stretch, fixed = qt.QHeaderView.Stretch, qt.QHeaderView.Interactive
        header.setSectionResizeMode(DOUBTS, stretch if is_enough else fixed)
        if not is_enough:
            widget.setColumnWidth(DOUBTS, LEAST_OF_DOUBTS_PX)

    def _put(self, row: int, column: int, text: str, told: str) -> qt.QTableWidgetItem:
        """Make a cell that says something, and tells more when the mouse rests on it."""
        record = self._rows[row]
        item = qt.QTableWidgetItem(text)
        item.setToolTip(told)
        if column not in (NEEDLE, DOUBTS):
            item.setTextAlignment(qt.Qt.AlignCenter)
        if record.is_doubt_open:
            item.setBackground(qt.QBrush(qt.QColor(*DOUBTFUL_BACKGROUND)))
        elif record.state is ReviewState.accepted:
            item.setBackground(qt.QBrush(qt.QColor(*ACCEPTED_BACKGROUND)))
        elif record.state is ReviewState.rejected:
            item.setForeground(qt.QBrush(qt.QColor(*REJECTED_TEXT)))
        self._widget.setItem(row, column, item)
        return item

    def _in_order(self, records: Sequence[NeedleRecord]) -> list[NeedleRecord]:
        by_doubt = sorted(records, key=doubtful_first)
        key = SORT_KEYS.get(self._sorted_by, self._note_value)
        return sorted(by_doubt, key=key, reverse=self._is_descending)

    def _note_value(self, record: NeedleRecord) -> float:
        notes = self._notes.get(NOTE_COLUMNS[self._sorted_by], {})
        return notes[record.uid].value if record.uid in notes else inf

    def _show_order(self) -> None:
        order = qt.Qt.DescendingOrder if self._is_descending else qt.Qt.AscendingOrder
        self._widget.horizontalHeader().setSortIndicator(self._sorted_by, order)

    def _on_header_clicked(self, column: int) -> None:
        is_again = column == self._sorted_by
        self._is_descending = is_again and not self._is_descending
        self._sorted_by = column
        self._show_order()
        self.sort()

    def _on_selection_changed(self) -> None:
        if not self._silent and self.selected is not None:
            self._on_select(self.selected)

    def _on_cell_clicked(self, row: int, column: int) -> None:
        if column in self._on_box:
            self._on_box[column](self._rows[row])


def cell_text(record: NeedleRecord, column: int) -> str:
    """Return what a cell says."""
    return CELL_TEXTS[column](record)


def described(record: NeedleRecord | None, notes: Sequence[str] = ()) -> str:
    """Return why to look twice at a needle, how it compares and what was done to it."""
    if record is None:
        return ""
    parts = [*record.doubts, *notes, *([record.log.in_words()] if record.log.entries else [])]
    if record.confidence is None and record.score:
        parts.insert(
            0,
            _("fits the picture with log-odds {score:+.1f}").format(
                score=round(record.score, 1) + 0.0
            ),
        )
    return f"{record.id}: {'; '.join(parts)}" if parts else ""


def doubtful_first(record: NeedleRecord) -> tuple[bool, bool, float, str]:
    """Return a sort key: open doubts, then other doubts, then the less sure ones, then numbers."""
    confidence = 1.0 if record.confidence is None else record.confidence
    return (not record.is_doubt_open, not record.doubts, confidence, record.id)


CELL_TEXTS: dict[int, Callable[[NeedleRecord], str]] = {
    NEEDLE: lambda record: record.id,
    LENGTH: lambda record: f"{record.needle.length_mm:.1f}",
    ANGLE: lambda record: f"{angle_to_axial_deg(record.needle):.0f}°",
    CONFIDENCE: lambda record: confidence_in_words(record.confidence) or UNKNOWN,
    STATE: lambda record: STATES[record.state],
    SHOWN: lambda record: "",
    LOCKED: lambda record: "",
    DOUBTS: lambda record: "; ".join(record.doubts),
}

SORT_KEYS: dict[int, Callable[[NeedleRecord], object]] = {
    NEEDLE: lambda record: record.id,
    LENGTH: lambda record: record.needle.length_mm,
    ANGLE: lambda record: angle_to_axial_deg(record.needle),
    CONFIDENCE: lambda record: 2.0 if record.confidence is None else record.confidence,
    STATE: lambda record: list(STATES).index(record.state),
    SHOWN: lambda record: record.visible,
    LOCKED: lambda record: not record.editable,
    DOUBTS: doubtful_first,
}
