"""Lines over the image in the slice views: light, not to be dragged, and never saved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

Colour = tuple[float, float, float]


class LineDrawing:
    """One line of points, drawn by a model node that appears when it is first needed.

    Markups would do it too, but take a hundred times as long, which counts at 30 images a second.

    Parameters
    ----------
    name
        Of the node, which no list shows.
    is_closed
        Whether the last point is joined with the first.
    width
        In pixels of the screen.
    """

    def __init__(self, name: str, is_closed: bool, width: int = 2) -> None:
        self._name = name
        self._is_closed = is_closed
        self._width = width
        self._node: slicer.vtkMRMLModelNode | None = None

    def draw(self, points_world: np.ndarray, colour: Colour, view_ids: Sequence[str]) -> None:
        """Draw the line through points (n, 3), in some slice views only.

        Too few points hide it, and so does having no view: Slicer takes that for all of them.
        """
        if len(points_world) < 2 or not view_ids:
            self.hide()
            return
        node = self._node_in_scene()
        display = node.GetDisplayNode()
        node.SetAndObservePolyData(_line(points_world, self._is_closed))
        with slicer.util.NodeModify(display):
            display.SetColor(colour)
            if tuple(display.GetViewNodeIDs()) != tuple(view_ids):
                display.SetViewNodeIDs(list(view_ids))
            display.SetVisibility(True)

    def colour(self, colour: Colour) -> None:
        """Draw what is drawn in another colour."""
        if self._is_in_scene() and self._node.GetDisplayNode().GetColor() != colour:
            self._node.GetDisplayNode().SetColor(colour)

    def hide(self) -> None:
        """Show the line no longer."""
        if self._is_in_scene():
            self._node.GetDisplayNode().SetVisibility(False)

    def remove(self) -> None:
        """Take the line out of the scene."""
        if self._is_in_scene():
            slicer.mrmlScene.RemoveNode(self._node.GetDisplayNode())
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None

    def _is_in_scene(self) -> bool:
        return self._node is not None and bool(slicer.mrmlScene.IsNodePresent(self._node))

    def _node_in_scene(self) -> slicer.vtkMRMLModelNode:
        if not self._is_in_scene():
            self._node = slicer.vtkMRMLModelNode()
            self._node.SetName(self._name)
            self._node.SetHideFromEditors(True)
            self._node.SetSaveWithScene(False)
            slicer.mrmlScene.AddNode(self._node)
            self._node.CreateDefaultDisplayNodes()
            display = self._node.GetDisplayNode()
            display.SetSaveWithScene(False)
            display.SetLighting(False)
            display.SetLineWidth(self._width)
            display.SetSliceIntersectionThickness(self._width)
            display.SetVisibility2D(True)
            display.SetSliceDisplayModeToProjection()
        return self._node


def _line(points_world: np.ndarray, is_closed: bool) -> vtk.vtkPolyData:
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(points_world, np.float64), deep=True))
    lines = vtk.vtkCellArray()
    lines.InsertNextCell(len(points_world) + is_closed)
    for place in (*range(len(points_world)), *([0] if is_closed else [])):
        lines.InsertCellPoint(place)
    polydata = vtk.vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetLines(lines)
    return polydata
