"""The CMake file lists, and the folder that Slicer's macros make of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("NeedleLocalization", "NeedleTipUS")
LIBRARY = "needle_backend"
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def listed(folder: str, variable: str) -> list[str]:
    """Return the entries of a list in a folder's CMakeLists.txt, the module's name filled in."""
    text = (ROOT / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    (entries,) = re.findall(rf"set\({variable}\s([^)]*)\)", text)
    return entries.replace("${MODULE_NAME}", folder).split()


def install(destination: Path) -> None:
    """Copy what is listed to where it lies when the extension is installed.

    All modules go into one folder, and a library (WITH_SUBDIR) into a folder of its name there.
    """
    for folder in (LIBRARY, *MODULES):
        start = destination / LIBRARY if folder == LIBRARY else destination
        for name in listed(folder, SCRIPTS) + listed(folder, RESOURCES):
            target = Path(start, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / folder / name, target)
