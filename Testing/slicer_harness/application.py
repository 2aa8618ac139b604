"""``slicer.app`` and ``slicer.modules``: one scene's real logics behind Slicer's interface."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from slicer_harness.pythonqt import cpp_class


@cpp_class("moduleAboutToBeUnloaded(QString)")
class ModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)


@cpp_class("startupCompleted()", "aboutToQuit()")
class Application(QtCore.QObject):
    """What the modules ask of ``slicer.app``; always in testing mode, without a main window."""

    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()

    def __init__(self, application_logic: Any) -> None:
        super().__init__()
        self._application_logic = application_logic
        self._module_manager = ModuleManager()
        settings_file = Path(tempfile.mkdtemp()) / "settings.ini"
        self._settings = QtCore.QSettings(str(settings_file), QtCore.QSettings.IniFormat)
        self._home = tempfile.TemporaryDirectory()
        install_python_slicer(Path(self._home.name))
        self._paused = 0

    applicationName = QtCore.Property(str, lambda self: "Slicer")
    slicerHome = QtCore.Property(str, lambda self: self._home.name)
    temporaryPath = QtCore.Property(str, lambda self: tempfile.gettempdir())

    def applicationLogic(self) -> Any:
        return self._application_logic

    def moduleManager(self) -> ModuleManager:
        return self._module_manager

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def translate(self, context: str, text: str) -> str:
        return text

    def testingEnabled(self) -> bool:
        return True

    def layoutManager(self) -> None:
        return None

    def topLevelWidgets(self) -> list[QtWidgets.QWidget]:
        return QtWidgets.QApplication.topLevelWidgets()

    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        self._paused -= 1


def install_python_slicer(home: Path) -> None:
    """Put an interpreter where PythonSlicer is: a launcher, whose own child does the work."""
    launcher = home / "bin" / "PythonSlicer"
    launcher.parent.mkdir()
    launcher.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        "sys.exit(abs(subprocess.run([sys.executable, *sys.argv[1:]]).returncode))\n"
    )
    launcher.chmod(0o755)


def start_logics(scene: Any) -> tuple[Any, SimpleNamespace]:
    """Return the application logic of ``scene`` and the modules whose logics slicer-core holds."""
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    colors = application_logic.GetColorLogic()
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()  # display nodes refer to them
    application_logic.SetModuleLogic("Colors", colors)
    application_logic.SetSliceLogics(vtk.vtkCollection())
    application_logic.SetViewLogics(vtk.vtkCollection())
    modules = SimpleNamespace()
    for name, logic_class in (
        ("Markups", slicer.vtkSlicerMarkupsLogic),
        ("Volumes", slicer.vtkSlicerVolumesLogic),
        ("Sequences", slicer.vtkSlicerSequencesLogic),
    ):
        logic = logic_class()
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        setattr(modules, name.lower(), SimpleNamespace(logic=lambda logic=logic: logic))
    return application_logic, modules
