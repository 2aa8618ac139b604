"""Sets of lines in the scene to hold needles against: folders that hold line markups."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.errors import InputError
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import Needle
from needle_backend.core.review_log import ReviewState
from NeedleLocalizationLib.implant import swap_lps_ras
from NeedleLocalizationLib.needle_nodes import VOLUME_REFERENCE, read_record, world_ends_ras

OUTSIDE_FOLDERS = _("Lines in no folder")
COLOUR, OPACITY, DIAMETER_MM = (0.9, 0.9, 0.9), 0.6, 0.8
"""Thin and pale beside needles."""


def line_set_names(volume_node: vtkMRMLScalarVolumeNode | None) -> list[str]:
    """Return the sets there are, a volume's own needles aside, by name."""
    return sorted({_set_of(node) for node in _lines() if not _is_of(node, volume_node)})


def lines_of_set(
    name: str, volume_node: vtkMRMLScalarVolumeNode | None
) -> list[vtkMRMLMarkupsLineNode]:
    """Return a set's lines, a volume's own needles and rejected ones aside."""
    return [
        node
        for node in _lines()
        if _set_of(node) == name and not _is_of(node, volume_node) and not _is_rejected(node)
    ]


def needle_of_line(node: vtkMRMLMarkupsLineNode) -> Needle:
    """Return a line as a needle, where it lies in the world now; its first point is the tip."""
    return Needle(*map(swap_lps_ras, world_ends_ras(node)), id=node.GetName())


def load_line_set(path: Path) -> str:
    """Load a .mrk.json's lines into a folder of the file's name; return that name.

    Raises
    ------
    InputError
        When the file is no markups file or holds no line; nothing is loaded then.
    """
    needles = read_markups(path)
    if not needles:
        raise InputError(
            _(
                "{path} holds no lines; give a .mrk.json of lines from the tip to the handle."
            ).format(path=path)
        )
    hierarchy = _hierarchy()
    stem = path.name.removesuffix(".json").removesuffix(".mrk")
    name, number = stem, 2
    while hierarchy.GetItemByName(name):
        name, number = f"{stem} {number}", number + 1
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
    with slicer.util.RenderBlocker():
        for needle in needles:
            hierarchy.CreateItem(folder, _add_line(needle))
    return name


def _add_line(needle: Needle) -> vtkMRMLMarkupsLineNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", needle.id)
    with slicer.util.NodeModify(node):
        node.AddControlPoint(swap_lps_ras(needle.tip_lps), "T")
        node.AddControlPoint(swap_lps_ras(needle.handle_lps), "H")
        node.GetMeasurement("length").SetEnabled(False)
        node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetColor(COLOUR)
        display.SetSelectedColor(COLOUR)
        display.SetOpacity(OPACITY)
        display.SetCurveLineSizeMode(display.UseLineDiameter)
        display.SetLineDiameter(DIAMETER_MM)
        display.SetUseGlyphScale(False)
        display.SetGlyphSize(2 * DIAMETER_MM)
        display.SetPropertiesLabelVisibility(False)
    return node


def _lines() -> list[vtkMRMLMarkupsLineNode]:
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        if node.GetNumberOfDefinedControlPoints() == 2
    ]


def _set_of(node: vtkMRMLMarkupsLineNode) -> str:
    hierarchy = _hierarchy()
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    is_in_none = not folder or folder == hierarchy.GetSceneItemID()
    return OUTSIDE_FOLDERS if is_in_none else hierarchy.GetItemName(folder)


def _is_of(node: vtkMRMLMarkupsLineNode, volume_node: vtkMRMLScalarVolumeNode | None) -> bool:
    volume_id = node.GetNodeReferenceID(VOLUME_REFERENCE)
    return volume_node is not None and volume_id == volume_node.GetID()


def _is_rejected(node: vtkMRMLMarkupsLineNode) -> bool:
    is_needle = node.GetNodeReferenceID(VOLUME_REFERENCE) is not None
    return is_needle and read_record(node).state is ReviewState.rejected


def _hierarchy() -> slicer.vtkMRMLSubjectHierarchyNode:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
