"""How needles look and where the views look: colours, numbers in the views, jumping to a tip."""

from __future__ import annotations

from collections.abc import Iterable

import slicer
from slicer import vtkMRMLMarkupsLineNode

Colour = tuple[float, float, float]

TIP = 0


def dress_needle(node: vtkMRMLMarkupsLineNode, colour: Colour, number_visible: bool) -> None:
    """Give a needle's line its colour, thin enough to leave the image readable."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetColor(colour)
        display.SetSelectedColor(colour)  # the one seen, as points are selected when they are made
        display.SetUseGlyphScale(False)
        display.SetGlyphSize(3.0)
        display.SetCurveLineSizeMode(display.UseLineDiameter)
        display.SetLineDiameter(1.2)
        display.SetTextScale(2.5)
        display.SetPointLabelsVisibility(False)
        display.SetPropertiesLabelVisibility(number_visible)


def show_numbers(nodes: Iterable[vtkMRMLMarkupsLineNode], visible: bool) -> None:
    """Show or hide the needles' numbers in the views."""
    with slicer.util.RenderBlocker():
        for node in nodes:
            node.GetDisplayNode().SetPropertiesLabelVisibility(visible)


def jump_to_tip(node: vtkMRMLMarkupsLineNode) -> None:
    """Centre all slice views on a needle's tip."""
    slicer.modules.markups.logic().JumpSlicesToNthPointInMarkup(node.GetID(), TIP, True)
