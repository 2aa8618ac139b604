"""Loads scripted modules as Slicer does at start-up, and opens them as a user does."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import qt
import slicer

_paths: dict[str, str] = {}


@dataclass
class LoadedModule:
    """A scripted module.

    Attributes
    ----------
    script
        The Python module that holds its classes.
    parent
        Stands for the C++ module: title, categories, help and so on.
    """

    script: ModuleType
    parent: SimpleNamespace

    @property
    def name(self) -> str:
        return self.script.__name__

    def open(self) -> Any:
        """Make the widget, as on the module's first opening, and enter it."""
        panel = slicer.qMRMLWidget()
        panel.setLayout(qt.QVBoxLayout())
        panel.setMRMLScene(slicer.mrmlScene)
        widget = getattr(self.script, f"{self.name}Widget")(panel)
        widget.setup()
        panel._entered = True
        _call_if_defined(widget, "enter")
        return widget

    def close(self, widget: Any) -> None:
        """Leave and unload the module, as on exit."""
        _call_if_defined(widget, "exit")
        widget.parent._entered = False
        slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
        for child in widget.parent.findChildren(qt.QWidget):
            _call_if_defined(child, "setMRMLScene", None)  # in Slicer they go at once
        widget.parent.deleteLater()


def _call_if_defined(target: Any, method: str, *arguments: Any) -> None:
    if hasattr(target, method):
        getattr(target, method)(*arguments)


def load_module(script: Path) -> LoadedModule:
    """Load a module from its script; its folder joins ``sys.path``, as in Slicer."""
    name = script.stem
    _paths[name.lower()] = str(script)
    if str(script.parent) not in sys.path:
        sys.path.append(str(script.parent))
    spec = importlib.util.spec_from_file_location(name, script)
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)
    parent = SimpleNamespace(path=str(script), name=name)
    getattr(python_module, name)(parent)
    setattr(slicer.modules, name.lower(), parent)
    return LoadedModule(python_module, parent)


def module_path(name: str) -> str:
    """Do what ``slicer.util.modulePath`` does."""
    return _paths[name.lower()]
