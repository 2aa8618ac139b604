"""The folder of the subject hierarchy that holds what belongs to a volume's implant."""

from __future__ import annotations

import slicer
from slicer import vtkMRMLDisplayableNode, vtkMRMLScalarVolumeNode

FOLDER_ATTRIBUTE = "NeedleGuide.folder"


def move_to_folder(node: vtkMRMLDisplayableNode, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Put a node into the folder beside its volume, which is made when it is missing."""
    hierarchy = _hierarchy()
    volume_item = hierarchy.GetItemByDataNode(volume_node)
    parent = hierarchy.GetItemParent(volume_item) if volume_item else hierarchy.GetSceneItemID()
    name = f"{volume_node.GetName()} needles"
    folder = hierarchy.GetItemChildWithName(parent, name)
    if not folder or not hierarchy.HasItemAttribute(folder, FOLDER_ATTRIBUTE):
        folder = hierarchy.CreateFolderItem(parent, name)
        hierarchy.SetItemAttribute(folder, FOLDER_ATTRIBUTE, "needles")
    hierarchy.CreateItem(folder, node)  # moves the item where the node has one already


def remove_with_companions(node: vtkMRMLDisplayableNode) -> None:
    """Remove a node with its display and storage nodes, and its folder if that leaves it empty."""
    scene, hierarchy = slicer.mrmlScene, _hierarchy()
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    displays = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    storage = node.GetStorageNode()
    scene.RemoveNode(node)
    for companion in (*displays, storage):
        if companion is not None and scene.IsNodePresent(companion):
            scene.RemoveNode(companion)
    is_ours = hierarchy.HasItemAttribute(folder, FOLDER_ATTRIBUTE)
    if is_ours and hierarchy.GetNumberOfItemChildren(folder) == 0:
        hierarchy.RemoveItem(folder)


def _hierarchy() -> slicer.vtkMRMLSubjectHierarchyNode:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
