"""Tips and handles without a partner in the scene, hidden until they are wanted."""

from __future__ import annotations

from collections.abc import Sequence

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.needles import Point, as_point
from NeedleLocalizationLib.point_lists import PointList

ENDS_ATTRIBUTE = "NeedleGuide.ends"
TIPS, HANDLES = "tips", "handles"
LABELS = {TIPS: "T?", HANDLES: "H?"}
LISTS = {
    TIPS: PointList(
        ENDS_ATTRIBUTE, TIPS, _("Tips without a handle"), LABELS[TIPS], (1.0, 0.75, 0.0)
    ),
    HANDLES: PointList(
        ENDS_ATTRIBUTE, HANDLES, _("Handles without a tip"), LABELS[HANDLES], (0.0, 0.85, 1.0)
    ),
}


def write_lone_ends(
    volume_node: vtkMRMLScalarVolumeNode, tips: Sequence[Point], handles: Sequence[Point]
) -> None:
    """Make the scene hold these ends; a kind that has none has no node."""
    LISTS[TIPS].write(volume_node, tips)
    LISTS[HANDLES].write(volume_node, handles)


def read_lone_ends(
    volume_node: vtkMRMLScalarVolumeNode,
) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Return tips and handles without a partner, in the volume's frame."""
    return LISTS[TIPS].read(volume_node), LISTS[HANDLES].read(volume_node)


def show_lone_ends(volume_node: vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    """Show or hide ends without a partner in the views."""
    for points in LISTS.values():
        points.show(volume_node, visible)


def world_end_ras(volume_node: vtkMRMLScalarVolumeNode, kind: str, place: int) -> Point:
    """Return where an end lies in the world now."""
    return as_point(LISTS[kind].find(volume_node).GetNthControlPointPositionWorld(place))
