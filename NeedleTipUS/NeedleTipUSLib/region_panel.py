"""The numbers of the imaging region: found, or typed in."""

from __future__ import annotations

from typing import Any

import slicer

from NeedleTipUSLib.logic import NeedleTipUSLogic
from NeedleTipUSLib.parameters import NeedleTipUSParameters
from NeedleTipUSLib.tracking import Rect

EDGES = ("left_px", "top_px", "right_px", "bottom_px")


class RegionPanel:
    """Shows where the tip is looked for; switched to manual, its numbers can be edited.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    """

    def __init__(self, ui: Any, logic: NeedleTipUSLogic, parameters: NeedleTipUSParameters) -> None:
        self._parameters = parameters
        self._logic = logic
        self._boxes = (ui.leftSpinBox, ui.topSpinBox, ui.rightSpinBox, ui.bottomSpinBox)
        self._find_button = ui.findRegionButton
        self._find_button.connect("clicked(bool)", self._find_again)

    def show_choices(self) -> None:
        """Offer the numbers only where they are the user's."""
        is_automatic = self._parameters.automatic_region
        for box in self._boxes:
            box.enabled = not is_automatic
        self._find_button.enabled = is_automatic and self._logic.tracking is not None

    def show_region(self, region: Rect) -> None:
        """Show the region that was found, as a start for one's own."""
        if self._parameters.automatic_region:
            with slicer.util.NodeModify(self._parameters):
                for name, value in zip(EDGES, region, strict=True):
                    self._parameters.setValue(name, int(value))

    def _find_again(self) -> None:
        if self._logic.tracking is not None:
            self._logic.tracking.find_region_again()
