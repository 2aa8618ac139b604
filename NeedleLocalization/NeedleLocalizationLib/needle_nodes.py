"""Needles as line markups in a folder of the subject hierarchy, and line markups as needles.

A needle's node keeps what was found out about it as attributes, which scenes and MRB files store,
and in the tip's description, which markup files store too. The node's own description would not do:
Slicer overwrites it with the line's measurements.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import slicer
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode

from needle_backend.core.markups import describe, needle_colour
from needle_backend.core.needles import Needle, Point, as_point
from NeedleLocalizationLib.needle_display import dress_needle

TIP, HANDLE = 0, 1
"""The control points of a needle's line, in order."""

ID_ATTRIBUTE = "NeedleGuide.id"
SCORE_ATTRIBUTE = "NeedleGuide.score"
CONFIDENCE_ATTRIBUTE = "NeedleGuide.confidence"
DOUBTS_ATTRIBUTE = "NeedleGuide.doubts"
VOLUME_REFERENCE = "NeedleGuide.volume"
FOLDER_ATTRIBUTE = "NeedleGuide.folder"


def add_needles(
    volume_node: vtkMRMLScalarVolumeNode, needles: Sequence[Needle], numbers_visible: bool = True
) -> list[vtkMRMLMarkupsLineNode]:
    """Draw needles found in a volume: a folder beside it, a locked line each; all or none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    nodes: list[vtkMRMLMarkupsLineNode] = []
    if not needles:
        return nodes
    with slicer.util.RenderBlocker():
        folder = _create_folder(hierarchy, volume_node)
        try:
            for index, needle in enumerate(needles):
                node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", needle.id)
                nodes.append(node)
                _fill_node(node, needle, volume_node)
                dress_needle(node, needle_colour(index), numbers_visible)
                hierarchy.CreateItem(folder, node)  # moves the item where the node has one already
        except Exception:
            for node in nodes:
                _remove_node(node)
            hierarchy.RemoveItem(folder)
            raise
    return nodes


def remove_needles(nodes: Iterable[vtkMRMLMarkupsLineNode]) -> None:
    """Remove needles, and the module's folders that they leave empty."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    with slicer.util.RenderBlocker():
        for node in nodes:
            folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
            _remove_node(node)
            is_ours = hierarchy.HasItemAttribute(folder, FOLDER_ATTRIBUTE)
            if is_ours and hierarchy.GetNumberOfItemChildren(folder) == 0:
                hierarchy.RemoveItem(folder)


def needle_nodes_of(volume_node: vtkMRMLScalarVolumeNode | None) -> list[vtkMRMLMarkupsLineNode]:
    """Return the needles of a volume that are in the scene, by number; none for no volume."""
    if volume_node is None:
        return []
    nodes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        if node.GetNodeReferenceID(VOLUME_REFERENCE) == volume_node.GetID()
    ]
    return sorted(nodes, key=lambda node: node.GetAttribute(ID_ATTRIBUTE) or "")


def needle_from_node(node: vtkMRMLMarkupsLineNode) -> Needle:
    """Return the needle that a line stands for, where it lies in the world now."""
    confidence = node.GetAttribute(CONFIDENCE_ATTRIBUTE)
    return Needle(
        tip_lps=swap_lps_ras(node.GetNthControlPointPositionWorld(TIP)),
        handle_lps=swap_lps_ras(node.GetNthControlPointPositionWorld(HANDLE)),
        score=float(node.GetAttribute(SCORE_ATTRIBUTE) or 0.0),
        confidence=None if confidence is None else float(confidence),
        doubts=tuple(json.loads(node.GetAttribute(DOUBTS_ATTRIBUTE) or "[]")),
        id=node.GetAttribute(ID_ATTRIBUTE) or "",
    )


def swap_lps_ras(point: Sequence[float]) -> Point:
    """Turn LPS into RAS, or RAS into LPS, which is the same."""
    x, y, z = point
    return as_point((-x, -y, z))


def _create_folder(
    hierarchy: slicer.vtkMRMLSubjectHierarchyNode, volume_node: vtkMRMLScalarVolumeNode
) -> int:
    volume_item = hierarchy.GetItemByDataNode(volume_node)
    parent = hierarchy.GetItemParent(volume_item) if volume_item else hierarchy.GetSceneItemID()
    folder = hierarchy.CreateFolderItem(parent, f"{volume_node.GetName()} needles")
    hierarchy.SetItemAttribute(folder, FOLDER_ATTRIBUTE, "needles")
    return folder


def _remove_node(node: vtkMRMLMarkupsLineNode) -> None:
    """Remove a line with its display and storage nodes, which the scene would keep."""
    scene = slicer.mrmlScene
    displays = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    storage = node.GetStorageNode()
    scene.RemoveNode(node)
    for companion in (*displays, storage):
        if companion is not None and scene.IsNodePresent(companion):
            scene.RemoveNode(companion)


def _fill_node(
    node: vtkMRMLMarkupsLineNode, needle: Needle, volume_node: vtkMRMLScalarVolumeNode
) -> None:
    with slicer.util.NodeModify(node):
        node.SetNodeReferenceID(VOLUME_REFERENCE, volume_node.GetID())
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        node.AddControlPointWorld(swap_lps_ras(needle.tip_lps), "T")
        node.AddControlPointWorld(swap_lps_ras(needle.handle_lps), "H")
        node.SetNthControlPointDescription(TIP, describe(needle))
        node.SetFixedNumberOfControlPoints(True)
        node.GetMeasurement("length").SetEnabled(False)
        node.SetAttribute(ID_ATTRIBUTE, needle.id)
        node.SetAttribute(SCORE_ATTRIBUTE, repr(needle.score))
        if needle.confidence is not None:
            node.SetAttribute(CONFIDENCE_ATTRIBUTE, repr(needle.confidence))
        node.SetAttribute(DOUBTS_ATTRIBUTE, json.dumps(needle.doubts, ensure_ascii=False))
        node.SetLocked(True)
