"""The buttons that turn slices along and across the selected needle."""

from __future__ import annotations

from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from needle_backend.core.needles import Point
from NeedleLocalizationLib.across_mark import AcrossMark
from NeedleLocalizationLib.slice_views import (
    ACROSS_VIEW,
    ALONG_VIEW,
    TurnedSlice,
    jump_to,
    slice_across,
    slice_along,
)


class NeedleViews:
    """Keeps slices on the selected needle while their buttons are down.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._ends: tuple[Point, Point] | None = None
        self._along, self._across = TurnedSlice(ALONG_VIEW), TurnedSlice(ACROSS_VIEW)
        self._mark = AcrossMark()
        ui.alongButton.connect("toggled(bool)", self._on_along)
        ui.acrossButton.connect("toggled(bool)", self._on_across)
        ui.depthSlider.connect("valueChanged(int)", self._turn)
        self.follow(None)

    def jump(self, ends_ras: tuple[Point, Point]) -> None:
        """Show a needle's tip in all slice views, and the needle in those that are turned."""
        jump_to(ends_ras[0])
        self.follow(ends_ras)

    def follow(self, ends_ras: tuple[Point, Point] | None) -> None:
        """Keep the turned slices on a needle that was chosen or moved; None for no needle."""
        self._ends = ends_ras
        self._ui.alongButton.enabled = self._ui.acrossButton.enabled = ends_ras is not None
        if ends_ras is None:
            self.turn_back()
        else:
            self._ui.depthSlider.maximum = round(float(np.linalg.norm(np.subtract(*ends_ras))))
        self._turn()

    def turn_back(self) -> None:
        """Show the slices as they were."""
        self._ui.alongButton.checked = self._ui.acrossButton.checked = False

    def toggle_along(self) -> None:
        """Press or release the button "Along"."""
        self._toggle(self._ui.alongButton)

    def toggle_across(self) -> None:
        """Press or release the button "Across"."""
        self._toggle(self._ui.acrossButton)

    def forget(self) -> None:
        """Leave the slices as they lie: their scene is gone."""
        self._along.forget()
        self._across.forget()
        self._mark.forget()

    def _toggle(self, button: qt.QPushButton) -> None:
        if self._ends is not None:
            button.checked = not button.checked

    def _on_along(self, is_on: bool) -> None:
        self._turn() if is_on else self._along.turn_back()

    def _on_across(self, is_on: bool) -> None:
        if is_on:
            self._turn()
        else:
            self._across.turn_back()
            self._mark.remove()

    def _turn(self) -> None:
        depth_mm = self._ui.depthSlider.value
        self._ui.depthSlider.enabled = self._ui.acrossButton.checked
        self._ui.depthLabel.text = _("{depth} mm from the tip").format(depth=depth_mm)
        if self._ends is None:
            return
        if self._ui.alongButton.checked and (node := self._along.node()) is not None:
            slice_along(node, *self._ends)
        if self._ui.acrossButton.checked and (node := self._across.node()) is not None:
            self._mark.show(node, slice_across(node, *self._ends, depth_mm))
