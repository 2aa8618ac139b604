"""Scenes saved to and loaded from MRB files, by the scene's own storage nodes."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import slicer


def save_mrb(scene: Any, path: Path) -> None:
    """Write the whole scene with its data."""
    if not scene.WriteToMRB(str(path)):
        raise OSError(f"{path} was not written")


def load_mrb(scene: Any, path: Path, folder: Path) -> None:
    """Replace the scene by an MRB's; its files are unpacked into ``folder``."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    (scene_file,) = folder.rglob("*.mrml")
    scene.SetURL(str(scene_file))
    if not scene.Connect():
        raise OSError(f"{path} was not read")


def save_scene(filename: str) -> None:
    """Do what ``slicer.util.saveScene`` does with an MRB."""
    save_mrb(slicer.mrmlScene, Path(filename))


def load_scene(filename: str) -> None:
    """Do what ``slicer.util.loadScene`` does with an MRB."""
    with tempfile.TemporaryDirectory() as folder:
        load_mrb(slicer.mrmlScene, Path(filename), Path(folder))
