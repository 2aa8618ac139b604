"""Slicer's own Python files, from a checkout of its sources, where a developer has one."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

CHECKOUT = "NEEDLEGUIDE_SLICER"
"""Environment variable: the folder that Slicer's sources were cloned into."""
NAMES = ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper")
"""The Python files that take their stand-ins' place."""


def slicer_checkout() -> Path | None:
    """Return the checkout to take Slicer's Python files from; None where there is none.

    Raises
    ------
    FileNotFoundError
        If the folder that was named holds no such files.
    """
    folder = os.environ.get(CHECKOUT)
    if not folder:
        return None
    package = Path(folder) / "Base" / "Python" / "slicer"
    if not (package / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(
            f"{CHECKOUT} is {folder}, where there are no files of Slicer's in Base/Python/slicer; "
            "name the folder that github.com/Slicer/Slicer was cloned into."
        )
    return Path(folder)


def python_files_of(checkout: Path, slicer: Any, ctk: ModuleType) -> dict[str, ModuleType]:
    """Import Slicer's own files, by the name that ``slicer`` has them under.

    They name widgets that the modules here do not use; each becomes a class of which there can be
    no widget, and to which therefore nothing is ever connected.
    """
    slicer.__path__.append(str(checkout / "Base" / "Python" / "slicer"))
    slicer.__getattr__ = ctk.__getattr__ = _unused_widget
    return {name: importlib.import_module(f"slicer.{name}") for name in NAMES}


def _unused_widget(name: str) -> type:
    if not name.startswith(("ctk", "qMRML", "qSlicer")):
        raise AttributeError(name)

    def refuse(self: object, *arguments: object) -> None:
        raise LookupError(f"{name} has no stand-in; add one to slicer_harness.")

    return type(name, (), {"__init__": refuse})
