"""What is seen of other volumes: two CTs of a patient have needles of the same numbers."""

from __future__ import annotations

import slicer
from slicer import vtkMRMLScalarVolumeNode

from NeedleLocalizationLib.needle_nodes import VOLUME_REFERENCE

CLASSES = ("vtkMRMLMarkupsLineNode", "vtkMRMLMarkupsFiducialNode")


def show_others(volume_node: vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    """Show or hide what belongs to all volumes but one; None for all volumes.

    Which needles are shown among their own stays as it is: views pass over the others.
    """
    shown_id = volume_node.GetID() if volume_node is not None else None
    for node in (node for name in CLASSES for node in slicer.util.getNodesByClass(name)):
        volume_id, display = node.GetNodeReferenceID(VOLUME_REFERENCE), node.GetDisplayNode()
        if volume_id is not None and display is not None:
            is_seen = visible or volume_id == shown_id
            with slicer.util.NodeModify(display):
                display.SetVisibility2D(is_seen)
                display.SetVisibility3D(is_seen)
