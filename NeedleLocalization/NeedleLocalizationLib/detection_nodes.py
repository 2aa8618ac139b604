"""All tips and handles that a run saw, whatever became of them: to look at, not to edit."""

from __future__ import annotations

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.needles import LocateResult
from NeedleLocalizationLib.implant import swap_lps_ras
from NeedleLocalizationLib.needle_nodes import to_frame_of
from NeedleLocalizationLib.point_lists import PointList

DETECTIONS_ATTRIBUTE = "NeedleGuide.detections"
LOOKS = {"label": "", "glyph": "StarBurst2D", "size_mm": 5.0}
SEEN_TIPS = PointList(
    DETECTIONS_ATTRIBUTE, "tips", _("Tips detected"), colour=(1.0, 0.45, 0.8), **LOOKS
)
SEEN_HANDLES = PointList(
    DETECTIONS_ATTRIBUTE, "handles", _("Handles detected"), colour=(0.55, 1.0, 0.35), **LOOKS
)


def write_detections(volume_node: vtkMRMLScalarVolumeNode, result: LocateResult) -> None:
    """Put what a run saw into the scene in place of what the one before saw."""
    local = to_frame_of(volume_node)
    for points, seen in ((SEEN_TIPS, result.seen_tips), (SEEN_HANDLES, result.seen_handles)):
        points.write(volume_node, [swap_lps_ras(local(point)) for point in seen])


def show_detections(volume_node: vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    """Show or hide what was seen in slice views and 3D."""
    for points in (SEEN_TIPS, SEEN_HANDLES):
        points.show(volume_node, visible)
