"""Stand-ins for the MRML widgets the modules use, bound to the real scene."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from slicer_harness.pythonqt import cpp_class


@cpp_class("mrmlSceneChanged(vtkMRMLScene*)")
class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene; the top of a module's panel and of its .ui file."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None
        self._entered = False

    isEntered = QtCore.Property(bool, lambda self: self._entered)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


def _setting(kind: Any, name: str) -> QtCore.Property:
    """Declare a property that changes which nodes are on offer."""

    def write(self: qMRMLNodeComboBox, value: Any) -> None:
        self._settings[name] = value
        self._refresh()

    return QtCore.Property(kind, lambda self: self._settings[name], write)


@cpp_class("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene; offers neither to add, rename nor remove one."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings: dict[str, Any] = {
            "nodeTypes": [], "noneEnabled": False, "noneDisplay": "None", "showHidden": False,
            "showChildNodeTypes": True, "addEnabled": True, "removeEnabled": True,
            "renameEnabled": False, "editEnabled": False,
        }  # fmt: skip
        self._scene = None
        self._observer_tags: list[int] = []
        self._current_id = ""
        self._combo = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(lambda index: self._set_id(self._combo.itemData(index)))

    nodeTypes = _setting("QStringList", "nodeTypes")
    noneEnabled = _setting(bool, "noneEnabled")
    noneDisplay = _setting(str, "noneDisplay")
    showHidden = _setting(bool, "showHidden")
    showChildNodeTypes = _setting(bool, "showChildNodeTypes")
    addEnabled = _setting(bool, "addEnabled")
    removeEnabled = _setting(bool, "removeEnabled")
    renameEnabled = _setting(bool, "renameEnabled")
    editEnabled = _setting(bool, "editEnabled")
    currentNodeID = QtCore.Property(
        str, lambda self: self._current_id, lambda self, node_id: self._set_id(node_id)
    )

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._observer_tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._observer_tags = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
            self._observer_tags = [
                scene.AddObserver(event, lambda *_: self._refresh())
                for event in (*events, scene.EndImportEvent)
            ]
        self._refresh()

    def currentNode(self) -> Any:
        return (
            self._scene.GetNodeByID(self._current_id) if self._scene and self._current_id else None
        )

    def setCurrentNode(self, node: Any) -> None:
        self._set_id(node.GetID() if node else "")

    def nodeCount(self) -> int:
        return len(self._nodes())

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        found = []
        for class_name in self._settings["nodeTypes"]:
            for i in range(self._scene.GetNumberOfNodesByClass(class_name)):
                node = self._scene.GetNthNodeByClass(i, class_name)
                hidden = node.GetHideFromEditors() and not self._settings["showHidden"]
                child = (
                    node.GetClassName() != class_name and not self._settings["showChildNodeTypes"]
                )
                if not hidden and not child and node not in found:
                    found.append(node)
        return found

    def _refresh(self) -> None:
        nodes = self._nodes()
        self._combo.clear()
        if self._settings["noneEnabled"]:
            self._combo.addItem(self._settings["noneDisplay"], "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        ids = [node.GetID() for node in nodes]
        may_be_none = self._settings["noneEnabled"] or not ids
        fallback = "" if may_be_none else ids[0]
        self._set_id(self._current_id if self._current_id in ids else fallback)

    def _set_id(self, node_id: str | None) -> None:
        node_id = node_id or ""
        self._combo.setCurrentIndex(self._combo.findData(node_id))
        if node_id != self._current_id:
            self._current_id = node_id
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id)


WIDGETS = {"qMRMLWidget": qMRMLWidget, "qMRMLNodeComboBox": qMRMLNodeComboBox}

for _name, _widget in WIDGETS.items():
    setattr(slicer, _name, _widget)
