"""A slice view without a window: Slicer's own displayable managers, driven by mouse events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from slicer_harness.window_picture import save_window

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
)
STEPS = 5


class SliceView:
    """Shows a volume and the markups on one slice.

    Parameters
    ----------
    name
        "Red", "Green" or "Yellow".
    """

    def __init__(self, name: str, orientation: str, volume_node: Any, size_px: int = 500) -> None:
        scene, application_logic = slicer.mrmlScene, slicer.app.applicationLogic()
        if scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") is None:
            scene.AddNode(slicer.vtkMRMLCrosshairNode())
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if node.GetLayoutName() == name:  # closing a scene keeps the slices of other tests
                scene.RemoveNode(node)
        self._window, self._renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(size_px, size_px)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()

        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self.node = self._logic.AddSliceNode(name)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume_node.GetID())
        self.node.SetOrientation(orientation)
        self._logic.ResizeSliceNode(size_px, size_px)
        self._logic.FitSliceToBackground(size_px, size_px)
        self._show_markups(application_logic)
        self._show_image()
        self._window.Render()

    def click(self, point_ras: Any) -> None:
        """Click where a point is seen."""
        xy = self._xy(point_ras)
        self._send(xy - 15, "MouseMoveEvent")
        self._send(xy, "MouseMoveEvent")
        self._send(xy, "LeftButtonPressEvent")
        self._send(xy, "LeftButtonReleaseEvent")
        self._send(xy + 80, "MouseMoveEvent")

    def drag(self, from_ras: Any, to_ras: Any) -> None:
        """Drag whatever is at one point to another one."""
        start, end = self._xy(from_ras), self._xy(to_ras)
        self._send(start - 15, "MouseMoveEvent")
        self._send(start, "MouseMoveEvent")
        self._send(start, "LeftButtonPressEvent")
        for step in range(1, STEPS + 1):
            self._send(start + (end - start) * step / STEPS, "MouseMoveEvent")
        self._send(end, "LeftButtonReleaseEvent")
        self._send(end + 80, "MouseMoveEvent")

    def sees(self, point_ras: Any) -> bool:
        """Tell whether a point lies on the slice and inside the view."""
        x, y, off_mm = self._to_view(point_ras)
        width, height = self.node.GetDimensions()[:2]
        return 0 <= x <= width and 0 <= y <= height and abs(off_mm) < 0.5

    def save_picture(self, path: Path) -> None:
        """Save what the view shows."""
        save_window(self._window, path)

    def close(self) -> None:
        """Take the view out of the application."""
        slicer.app.applicationLogic().GetSliceLogics().RemoveItem(self._logic)
        self._style.SetInteractor(None)
        self._group.SetMRMLDisplayableNode(None)
        self._window.Finalize()
        for node in (self._logic.GetSliceCompositeNode(), self.node):
            slicer.mrmlScene.RemoveNode(node)  # closing the scene keeps views

    def _show_markups(self, application_logic: Any) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for name in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.Initialize(factory, self._renderer)
        self._group.SetMRMLDisplayableNode(self.node)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)

    def _show_image(self) -> None:
        mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(self._logic.GetImageDataConnection())
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(actor)

    def _to_view(self, point_ras: Any) -> np.ndarray:
        xy_to_ras = slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS())
        return (np.linalg.inv(xy_to_ras) @ np.array([*point_ras, 1.0]))[:3]

    def _xy(self, point_ras: Any) -> np.ndarray:
        return self._to_view(point_ras)[:2]

    def _send(self, xy: np.ndarray, event: str) -> None:
        x, y = np.rint(xy).astype(int).tolist()
        self._interactor.SetEventInformation(x, y, 0, 0, chr(0), 0, None)
        self._interactor.InvokeEvent(event)
