"""How needles look: colours, a tube's thickness, numbers in the views."""

from __future__ import annotations

from collections.abc import Iterable

import slicer
from slicer import vtkMRMLMarkupsLineNode

from needle_backend.core.review_log import ReviewState
from NeedleLocalizationLib.implant import NeedleRecord

DIAMETER_MM = 1.0
SELECTED_DIAMETER_MM = 1.8
"""Thin: beside the line the shaft's own blur must be seen."""
END_MM = 3.0
FAINT = 0.25
"""Opacity of a rejected needle."""


def dress_needle(node: vtkMRMLMarkupsLineNode, record: NeedleRecord) -> None:
    """Give a line the looks of its needle: a tube in 3D, thin enough to leave the image readable.

    Whether its number is shown is left as it is.
    """
    is_new = node.GetDisplayNode() is None or not node.GetDisplayNode().GetAttribute("NeedleGuide")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetColor(record.colour)
        display.SetSelectedColor(record.colour)  # the one seen: points are selected when made
        display.SetVisibility(record.visible)
        display.SetOpacity(FAINT if record.state is ReviewState.rejected else 1.0)
        if is_new:
            display.SetAttribute("NeedleGuide", "dressed")
            display.SetUseGlyphScale(False)
            display.SetGlyphSize(END_MM)
            display.SetCurveLineSizeMode(display.UseLineDiameter)
            display.SetLineDiameter(DIAMETER_MM)
            display.SetTextScale(2.5)
            display.SetPointLabelsVisibility(False)
            if hasattr(display, "SetLineSliceIntersectionPointVisibility"):  # from Slicer 5.12 on
                display.SetLineSliceIntersectionPointVisibility(True)


def show_numbers(nodes: Iterable[vtkMRMLMarkupsLineNode], visible: bool) -> None:
    """Show or hide the needles' numbers in the views."""
    with slicer.util.RenderBlocker():
        for node in nodes:
            node.GetDisplayNode().SetPropertiesLabelVisibility(visible)


def highlight(
    nodes: Iterable[vtkMRMLMarkupsLineNode], selected: vtkMRMLMarkupsLineNode | None
) -> None:
    """Draw the selected needle thicker than the others."""
    with slicer.util.RenderBlocker():
        for node in nodes:
            diameter_mm = SELECTED_DIAMETER_MM if node is selected else DIAMETER_MM
            node.GetDisplayNode().SetLineDiameter(diameter_mm)
