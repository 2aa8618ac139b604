"""Loads .ui files that name CTK and MRML widgets."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from slicer_harness import ctk_standins, qmrml_standins
from slicer_harness.pythonqt import LoadingUi

STANDINS = {**ctk_standins.WIDGETS, **qmrml_standins.WIDGETS}


def load_ui(path: str) -> QtWidgets.QWidget:
    """Do what ``slicer.util.loadUI`` does."""
    if not Path(path).is_file():
        raise RuntimeError(f"Could not load UI file: file not found {path}")
    root = ElementTree.parse(path).getroot()
    mrml_connections = _take_mrml_connections(root)
    buffer = QtCore.QBuffer()
    buffer.setData(ElementTree.tostring(root))
    buffer.open(QtCore.QIODevice.ReadOnly)
    with LoadingUi():
        widget = _Loader().load(buffer)
    if widget is None:
        raise RuntimeError(f"Could not load UI file: {path}")
    for connection in mrml_connections:
        sender = _named(widget, connection["sender"])
        receiver = _named(widget, connection["receiver"])
        slot = getattr(receiver, connection["slot"].partition("(")[0])
        sender.connect(connection["signal"], slot)
    return widget


class _Loader(QtUiTools.QUiLoader):
    def createWidget(
        self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""
    ) -> QtWidgets.QWidget:
        if class_name in STANDINS:
            widget = STANDINS[class_name](parent)
            widget.setObjectName(name)
            return widget
        if class_name.startswith(("ctk", "qMRML", "qSlicer")):
            raise LookupError(f"{class_name} has no stand-in; add one to STANDINS.")
        return super().createWidget(class_name, parent, name)


def _take_mrml_connections(root: ElementTree.Element) -> list[dict[str, str]]:
    """Take out the connections that carry MRML objects, which QUiLoader cannot make."""
    connections = root.find("connections")
    taken = []
    for connection in list(connections) if connections is not None else []:
        parts = {part.tag: part.text or "" for part in connection}
        if "vtkMRML" in parts["signal"]:
            connections.remove(connection)
            taken.append(parts)
    return taken


def _named(widget: QtWidgets.QWidget, name: str) -> QtCore.QObject:
    return widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
