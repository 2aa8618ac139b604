"""Points that belong to a volume, as locked point markups that are hidden until wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode

from needle_backend.core.needles import Point, as_point
from NeedleLocalizationLib.folders import move_to_folder, remove_with_companions

VOLUME_REFERENCE = "NeedleGuide.volume"


@dataclass(frozen=True)
class PointList:
    """A kind of points that a volume may have.

    Attributes
    ----------
    attribute, value
        What its nodes are marked with.
    name
        Its nodes' name.
    label
        Comes before each point's number; empty for points without labels.
    colour
        Red, green and blue, 0..1.
    glyph
        Name of a glyph type of vtkMRMLMarkupsDisplayNode.
    size_mm
        The glyph's.
    """

    attribute: str
    value: str
    name: str
    label: str
    colour: tuple[float, float, float]
    glyph: str = "Sphere3D"
    size_mm: float = 4.0

    def write(self, volume_node: vtkMRMLScalarVolumeNode, points: Sequence[Point]) -> None:
        """Make the scene hold these points, RAS in the volume's frame; without any, no node."""
        node = self.find(volume_node)
        if node is not None and not points:
            remove_with_companions(node)
        elif points and tuple(points) != self.read(volume_node):
            self._fill(node or self._add(volume_node), points)

    def read(self, volume_node: vtkMRMLScalarVolumeNode) -> tuple[Point, ...]:
        """Return the volume's points, RAS in its frame."""
        node = self.find(volume_node)
        count = 0 if node is None else node.GetNumberOfControlPoints()
        return tuple(as_point(node.GetNthControlPointPosition(i)) for i in range(count))

    def show(self, volume_node: vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
        """Show or hide the points in the views."""
        node = volume_node and self.find(volume_node)
        if node is not None:
            node.SetDisplayVisibility(visible)

    def find(self, volume_node: vtkMRMLScalarVolumeNode) -> vtkMRMLMarkupsFiducialNode | None:
        """Return the volume's node of this kind."""
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"):
            is_of_volume = node.GetNodeReferenceID(VOLUME_REFERENCE) == volume_node.GetID()
            if is_of_volume and node.GetAttribute(self.attribute) == self.value:
                return node
        return None

    def _add(self, volume_node: vtkMRMLScalarVolumeNode) -> vtkMRMLMarkupsFiducialNode:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", self.name)
        node.SetAttribute(self.attribute, self.value)
        node.SetNodeReferenceID(VOLUME_REFERENCE, volume_node.GetID())
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        node.SetLocked(True)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetColor(self.colour)
        display.SetSelectedColor(self.colour)
        display.SetGlyphType(getattr(display, self.glyph))
        display.SetUseGlyphScale(False)
        display.SetGlyphSize(self.size_mm)
        display.SetTextScale(2.5)
        display.SetPointLabelsVisibility(bool(self.label))
        display.SetVisibility(False)
        move_to_folder(node, volume_node)
        return node

    def _fill(self, node: vtkMRMLMarkupsFiducialNode, points: Sequence[Point]) -> None:
        with slicer.util.NodeModify(node):
            node.RemoveAllControlPoints()
            for number, point in enumerate(points, start=1):
                node.AddControlPoint(point, f"{self.label}{number}")
