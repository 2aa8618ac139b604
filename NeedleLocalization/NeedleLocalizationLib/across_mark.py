"""The mark where the selected needle goes through the slice across it."""

from __future__ import annotations

import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLSliceNode
from slicer.i18n import tr as _

from needle_backend.core.needles import Point

COLOUR = (1.0, 0.85, 0.0)
SIZE_PERCENT = 7.0
"""Of the view: as large on every screen."""


class AcrossMark:
    """One open cross in one slice view, which is not saved with the scene.

    The line of a needle is but a point in the slice across it, and Slicer does not draw it there.
    """

    def __init__(self) -> None:
        self._node: vtkMRMLMarkupsFiducialNode | None = None

    def show(self, slice_node: vtkMRMLSliceNode, point_ras: Point) -> None:
        """Put the mark on a point of the slice."""
        if self._node is None:
            self._node = self._add(slice_node)
        self._node.SetNthControlPointPositionWorld(0, *point_ras)

    def remove(self) -> None:
        """Take the mark away."""
        if self._node is not None:
            slicer.mrmlScene.RemoveNode(self._node.GetDisplayNode())
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None

    def forget(self) -> None:
        """Do without the mark: its scene is gone."""
        self._node = None

    def _add(self, slice_node: vtkMRMLSliceNode) -> vtkMRMLMarkupsFiducialNode:
        node = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLMarkupsFiducialNode", _("Needle in the slice across")
        )
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetLocked(True)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.AddViewNodeID(slice_node.GetID())
        display.SetGlyphType(display.StarBurst2D)
        display.SetGlyphScale(SIZE_PERCENT)
        display.SetSelectedColor(COLOUR)
        display.SetPointLabelsVisibility(False)
        display.SetPropertiesLabelVisibility(False)
        node.AddControlPointWorld(0.0, 0.0, 0.0)
        return node
