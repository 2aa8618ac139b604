"""What an offscreen render window shows, as a picture file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vtk


def save_window(window: Any, path: Path) -> None:
    """Render a window and save it as PNG."""
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
