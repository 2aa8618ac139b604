"""Stand-ins for the CTK widgets the modules use."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from slicer_harness.pythonqt import cpp_class

HEADER_HEIGHT_PX = 24


@cpp_class("contentsCollapsed(bool)")
class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled box that shows or hides its children."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *arguments: object) -> None:
        parents = [item for item in arguments if isinstance(item, QtWidgets.QWidget)]
        super().__init__(*parents)
        self._title = next((item for item in arguments if isinstance(item, str)), "")
        self._collapsed = False
        self.setContentsMargins(2, HEADER_HEIGHT_PX, 2, 2)

    def _set_title(self, title: str) -> None:
        self._title = title
        self.update()

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        for child in self.children():
            if child.isWidgetType():
                child.setVisible(not collapsed)
        self.setMaximumHeight(HEADER_HEIGHT_PX if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    text = QtCore.Property(str, lambda self: self._title, _set_title)
    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        if self._collapsed and event.added() and event.child().isWidgetType():
            event.child().setVisible(False)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.position().y() < HEADER_HEIGHT_PX:
            self._set_collapsed(not self._collapsed)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        header = QtCore.QRect(0, 0, self.width, HEADER_HEIGHT_PX - 3)
        painter.fillRect(header, self.palette.button())
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(
            header.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, f"{arrow} {self._title}"
        )
        painter.end()


WIDGETS = {"ctkCollapsibleButton": ctkCollapsibleButton}
