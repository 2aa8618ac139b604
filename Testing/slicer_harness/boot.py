"""Starts slicer-core's scene and logics, and installs the stand-ins under Slicer's names."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

TESTING = Path(__file__).resolve().parents[1]


@functools.cache
def boot() -> Any:
    """Return the module ``slicer``, ready for module code; the first call starts everything."""
    from slicer_harness import pythonqt

    sys.modules["qt"] = pythonqt.dress()
    keep_alive = pythonqt.QtWidgets.QApplication.instance() or pythonqt.QtWidgets.QApplication(
        ["test"]
    )
    with _without_test_folders():
        import slicer
        import slicer.util

    slicer.qtApplication = keep_alive
    slicer.selfTests = {}
    slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
    _start_application(slicer)
    _install_widgets(slicer)
    _install_python_files(slicer)
    return slicer


def _start_application(slicer: Any) -> None:
    from slicer_harness import application, subject_hierarchy

    application_logic, slicer.modules = application.start_logics(slicer.mrmlScene)
    slicer.app = application.Application(application_logic)
    subject_hierarchy.keep_items_of(slicer.mrmlScene)


def _install_widgets(slicer: Any) -> None:
    from slicer_harness import ctk_standins, qmrml_standins, ui_loader

    ctk = ModuleType("ctk")
    vars(ctk).update(ctk_standins.WIDGETS)
    sys.modules["ctk"] = ctk
    vars(slicer).update(qmrml_standins.WIDGETS)
    slicer.util.loadUI = ui_loader.load_ui


def _install_python_files(slicer: Any) -> None:
    from slicer_harness import modules, packages, sample_data, scene_files, slicer_checkout

    checkout = slicer_checkout.slicer_checkout()
    if checkout is None:
        python_files = _standins_of_python_files()
    else:
        python_files = slicer_checkout.python_files_of(checkout, slicer, sys.modules["ctk"])
    for name, python_file in {**python_files, "packaging": packages}.items():
        sys.modules[f"slicer.{name}"] = python_file
        setattr(slicer, name, python_file)
    slicer.util.modulePath = modules.module_path
    slicer.util.saveScene, slicer.util.loadScene = scene_files.save_scene, scene_files.load_scene
    sys.modules["SampleData"] = sample_data


def _standins_of_python_files() -> dict[str, ModuleType]:
    from slicer_harness import i18n, parameter_node, scripted_module

    return {
        "i18n": i18n,
        "ScriptedLoadableModule": scripted_module,
        "parameterNodeWrapper": parameter_node,
    }


@contextmanager
def _without_test_folders() -> Iterator[None]:
    """Hide Testing/: slicer-core imports all files of every folder named slicer on the path."""
    path = sys.path.copy()
    sys.path[:] = [entry for entry in path if Path(entry).resolve() != TESTING]
    try:
        yield
    finally:
        sys.path[:] = path
