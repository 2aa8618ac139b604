"""Tips and handles without a partner in the scene: point markups, hidden until they are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.needles import Point, as_point
from NeedleLocalizationLib.folders import move_to_folder, remove_with_companions

ENDS_ATTRIBUTE = "NeedleGuide.ends"
VOLUME_REFERENCE = "NeedleGuide.volume"
TIPS, HANDLES = "tips", "handles"
NAMES = {TIPS: _("Tips without a handle"), HANDLES: _("Handles without a tip")}
LABELS = {TIPS: "T?", HANDLES: "H?"}
COLOURS = {TIPS: (1.0, 0.75, 0.0), HANDLES: (0.0, 0.85, 1.0)}


def write_lone_ends(
    volume_node: vtkMRMLScalarVolumeNode, tips: Sequence[Point], handles: Sequence[Point]
) -> None:
    """Make the scene hold these ends; a kind that has none has no node."""
    for kind, points in ((TIPS, tips), (HANDLES, handles)):
        node = _find(volume_node.GetID(), kind)
        if node is not None and not points:
            remove_with_companions(node)
        elif points and tuple(points) != _points(node):
            _fill(node or _add(volume_node, kind), kind, points)


def read_lone_ends(
    volume_node: vtkMRMLScalarVolumeNode,
) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Return tips and handles without a partner, in the volume's frame."""
    tips, handles = (_points(_find(volume_node.GetID(), kind)) for kind in (TIPS, HANDLES))
    return tips, handles


def show_lone_ends(volume_node: vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    """Show or hide ends without a partner in the views."""
    for kind in (TIPS, HANDLES):
        node = volume_node and _find(volume_node.GetID(), kind)
        if node is not None:
            node.SetDisplayVisibility(visible)


def world_end_ras(volume_node: vtkMRMLScalarVolumeNode, kind: str, place: int) -> Point:
    """Return where an end lies in the world now."""
    return as_point(_find(volume_node.GetID(), kind).GetNthControlPointPositionWorld(place))


def _find(volume_id: str, kind: str) -> vtkMRMLMarkupsFiducialNode | None:
    for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"):
        is_of_volume = node.GetNodeReferenceID(VOLUME_REFERENCE) == volume_id
        if is_of_volume and node.GetAttribute(ENDS_ATTRIBUTE) == kind:
            return node
    return None


def _points(node: vtkMRMLMarkupsFiducialNode | None) -> tuple[Point, ...]:
    if node is None:
        return ()
    count = node.GetNumberOfControlPoints()
    return tuple(as_point(node.GetNthControlPointPosition(i)) for i in range(count))


def _add(volume_node: vtkMRMLScalarVolumeNode, kind: str) -> vtkMRMLMarkupsFiducialNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", NAMES[kind])
    node.SetAttribute(ENDS_ATTRIBUTE, kind)
    node.SetNodeReferenceID(VOLUME_REFERENCE, volume_node.GetID())
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(COLOURS[kind])
    display.SetSelectedColor(COLOURS[kind])
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(4.0)
    display.SetTextScale(2.5)
    display.SetVisibility(False)
    move_to_folder(node, volume_node)
    return node


def _fill(node: vtkMRMLMarkupsFiducialNode, kind: str, points: Sequence[Point]) -> None:
    with slicer.util.NodeModify(node):
        node.RemoveAllControlPoints()
        for number, point in enumerate(points, start=1):
            node.AddControlPoint(point, f"{LABELS[kind]}{number}")
