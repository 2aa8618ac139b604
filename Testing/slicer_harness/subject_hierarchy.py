"""What Slicer's subject hierarchy does by itself: nodes that come and go have items that do."""

from __future__ import annotations

from typing import Any

import slicer
import vtk


def keep_items_of(scene: Any) -> None:
    """Give every node that editors show an item from now on."""
    scene.AddObserver(scene.NodeAddedEvent, _on_node_added)
    scene.AddObserver(scene.NodeRemovedEvent, _on_node_removed)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _on_node_added(scene: Any, event: str, node: Any) -> None:
    if scene.IsImporting() or node.GetHideFromEditors():
        return
    if node.IsA("vtkMRMLDisplayableNode"):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _on_node_removed(scene: Any, event: str, node: Any) -> None:
    if scene.IsClosing() or not node.IsA("vtkMRMLDisplayableNode"):
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.RemoveItem(item, False, False)
