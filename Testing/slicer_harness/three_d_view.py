"""A 3D view without a window: Slicer's own displayable managers for models and markups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

from slicer_harness.window_picture import save_window

MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
)
BACKGROUND = (0.756, 0.764, 0.909), (0.455, 0.470, 0.745)
"""Slicer's own, from bottom to top."""


class ThreeDView:
    """Shows the scene's models and markups in 3D."""

    def __init__(self, size_px: tuple[int, int] = (600, 500)) -> None:
        scene, application_logic = slicer.mrmlScene, slicer.app.applicationLogic()
        self._window, self._renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)  # as depth peeling needs it
        self._window.SetAlphaBitPlanes(1)
        self._window.SetSize(*size_px)
        self._window.AddRenderer(self._renderer)
        self._renderer.SetBackground(BACKGROUND[0])
        self._renderer.SetBackground2(BACKGROUND[1])
        self._renderer.GradientBackgroundOn()
        self._renderer.SetUseDepthPeeling(True)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        node = slicer.vtkMRMLViewNode()
        node.SetLayoutName("1")
        self.node = scene.AddNode(node)
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for name in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.Initialize(factory, self._renderer)
        self._group.SetMRMLDisplayableNode(self.node)
        self._window.Render()

    def look(self, towards: Any, from_ras: Any, up: Any, height_mm: float) -> None:
        """Look at a point from another one, with so much of the patient in the picture."""
        camera = self._renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetParallelScale(height_mm / 2)
        camera.SetFocalPoint(*towards)
        camera.SetPosition(*from_ras)
        camera.SetViewUp(*up)
        self._renderer.ResetCameraClippingRange()

    def save_picture(self, path: Path) -> None:
        """Save what the view shows."""
        save_window(self._window, path)

    def close(self) -> None:
        """Take the view out of the application."""
        self._group.SetMRMLDisplayableNode(None)
        self._window.Finalize()
        slicer.mrmlScene.RemoveNode(self.node)
