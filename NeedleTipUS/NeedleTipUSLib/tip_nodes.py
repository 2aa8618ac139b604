"""The tip in the views: a point markup, its box, a short trail, and the region looked at."""

from __future__ import annotations

from collections import deque

import numpy as np
import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _

from needle_backend.us.tips import DETECTED, LOST, PREDICTED, FrameAnswer
from NeedleTipUSLib.line_drawing import Colour, LineDrawing
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.stream_image import StreamImage

COLOURS: dict[str, Colour] = {
    DETECTED: (0.31, 1.0, 0.31),
    PREDICTED: (1.0, 0.84, 0.0),
    LOST: (1.0, 0.31, 0.31),
}
TRAIL_COLOUR: Colour = (0.2, 0.65, 0.9)
TRAIL_LENGTH = 30
"""Of so many sightings, a second of a usual stream."""

TIP_NAME = "Needle tip"
TIP_ATTRIBUTE = "NeedleGuide.tip"
STATE_ATTRIBUTE = "NeedleGuide.state"
CONFIDENCE_ATTRIBUTE = "NeedleGuide.confidence"


class TipNodes:
    """Draws sightings of one stream.

    The point is a node of its own in the scene, for whatever else uses it (sequences, OpenIGTLink);
    while the tip is lost its position is undefined. The lines are drawn only; the outline of the
    region has the state's colour too, so that a lost tip is seen without looking away.
    """

    def __init__(self) -> None:
        self.shows_trail = True
        self.shows_region = True
        self._box = LineDrawing("Needle tip box", is_closed=True)
        self._trail = LineDrawing("Needle tip trail", is_closed=False, width=1)
        self._region = LineDrawing("Ultrasound region", is_closed=True, width=1)
        self._passed: deque[np.ndarray] = deque(maxlen=TRAIL_LENGTH)
        self._region_world = np.empty((0, 3))

    def show(self, sighting: Sighting, volume_node: vtkMRMLVolumeNode) -> None:
        """Draw what is known of the tip."""
        answer = sighting.answer
        tip_world = sighting.tip_world()
        view_ids = views_showing(volume_node)
        write_tip(tip_node(), answer, tip_world)
        self._region.colour(COLOURS[answer.state])
        self._box.draw(sighting.box_world(), COLOURS[answer.state], view_ids)
        if tip_world is None:
            self._passed.clear()
        else:
            self._passed.append(tip_world)
        trail = np.array(self._passed if self.shows_trail else [])
        self._trail.draw(trail, TRAIL_COLOUR, view_ids)

    def show_region(
        self,
        image: StreamImage,
        region: tuple[int, int, int, int],
        volume_node: vtkMRMLVolumeNode,
    ) -> None:
        """Outline where the tip is looked for."""
        left, top, right, bottom = np.array(region) - 0.5
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        self._region_world = image.to_world(corners)
        self.draw_region(volume_node)

    def draw_region(self, volume_node: vtkMRMLVolumeNode) -> None:
        """Draw or hide the outline of the region, as was chosen."""
        corners = self._region_world if self.shows_region else np.empty((0, 3))
        self._region.draw(corners, COLOURS[LOST], views_showing(volume_node))

    def clear(self) -> None:
        """Remove the lines, and leave the point with its position undefined."""
        self.lose()
        self._region_world = np.empty((0, 3))
        for line in (self._box, self._trail, self._region):
            line.remove()

    def lose(self) -> None:
        """Show no tip any more."""
        self._passed.clear()
        self._region.colour(COLOURS[LOST])
        self._box.hide()
        self._trail.hide()
        node = find_tip_node()
        if node is not None:
            write_tip(node, FrameAnswer(0, 0.0, LOST, None), None)


def find_tip_node() -> vtkMRMLMarkupsFiducialNode | None:
    """Return the scene's tip; None when there is none yet."""
    points = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    return next((node for node in points if node.GetAttribute(TIP_ATTRIBUTE)), None)


def tip_node() -> vtkMRMLMarkupsFiducialNode:
    """Return the scene's tip, made when it is missing."""
    node = find_tip_node()
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", TIP_NAME)
        node.SetAttribute(TIP_ATTRIBUTE, "tip")
        node.AddControlPoint(0.0, 0.0, 0.0)
        node.UnsetNthControlPointPosition(0)
        node.SetLocked(True)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetGlyphType(display.CrossDot2D)
        display.SetGlyphScale(2.0)
        display.SetTextScale(3.5)
        display.SetPointLabelsVisibility(True)
    return node


def write_tip(
    node: vtkMRMLMarkupsFiducialNode, answer: FrameAnswer, tip_world: np.ndarray | None
) -> None:
    """Put the point where the tip is, with its state; lost, it is nowhere."""
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(node):
        node.SetAttribute(STATE_ATTRIBUTE, answer.state)
        node.SetNthControlPointVisibility(0, tip_world is not None)
        node.SetNthControlPointLabel(0, label_of(answer))
        if tip_world is None:
            node.SetAttribute(CONFIDENCE_ATTRIBUTE, "0")
            node.UnsetNthControlPointPosition(0)
        else:
            node.SetAttribute(CONFIDENCE_ATTRIBUTE, f"{answer.tip.confidence:.3f}")
            node.SetNthControlPointPositionWorld(0, *map(float, tip_world))
    if display is not None and display.GetSelectedColor() != COLOURS[answer.state]:
        display.SetSelectedColor(COLOURS[answer.state])
        display.SetColor(COLOURS[answer.state])


def label_of(answer: FrameAnswer) -> str:
    """Return what is written beside the tip."""
    if answer.tip is None:
        return _("lost")
    if answer.state == PREDICTED:
        return _("not seen")
    return f"{100 * answer.tip.confidence:.0f} %"


def views_showing(volume_node: vtkMRMLVolumeNode) -> list[str]:
    """Return the slice views whose background is a volume, by their nodes' ids."""
    views = []
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        view_id = f"vtkMRMLSliceNode{composite.GetLayoutName()}"
        if composite.GetBackgroundVolumeID() == volume_node.GetID():
            views.append(view_id)
    return views


def show_in_red_view(volume_node: vtkMRMLVolumeNode) -> None:
    """Show a volume in the red slice view, face on, unless one of the views shows it already."""
    scene = slicer.mrmlScene
    composite = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    slice_node = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    if composite is None or slice_node is None or views_showing(volume_node):
        return
    composite.SetBackgroundVolumeID(volume_node.GetID())
    slice_node.RotateToVolumePlane(volume_node)
    layout = slicer.app.layoutManager()
    if layout is not None and layout.sliceWidget("Red") is not None:
        layout.sliceWidget("Red").sliceLogic().FitSliceToBackground()
