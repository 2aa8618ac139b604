"""A needle placed by clicks in a view: its tip, then its handle unless that is looked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from needle_backend.core.needles import Point, as_point
from NeedleLocalizationLib.folders import remove_with_companions


class NeedlePlacing(VTKObservationMixin):
    """Lets the user click, and tells where; what is drawn meanwhile is gone afterwards.

    Parameters
    ----------
    on_end
        Called when placing has ended, whether or not a needle was placed.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        super().__init__()
        self._on_end = on_end
        self._on_placed: Callable[..., None] = ignore
        self._clicks = 0
        self._line: vtkMRMLMarkupsLineNode | None = None
        # The line is removed when the view has done with the click that made it.
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._finish)

    @property
    def awaited(self) -> int:
        """How many clicks place what is placed now; 0 when none are awaited."""
        return 0 if self._line is None else self._clicks

    def start(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        clicks: int,
        on_placed: Callable[..., None],
    ) -> None:
        """Await one or two clicks; ``on_placed`` gets the points, RAS mm in the volume's frame."""
        self.cancel()
        self._clicks, self._on_placed = clicks, on_placed
        line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", _("New needle"))
        line.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        line.CreateDefaultDisplayNodes()
        line.GetMeasurement("length").SetEnabled(False)
        self._line = line
        logic = slicer.app.applicationLogic()
        selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsLineNode")
        selection.SetActivePlaceNodeID(line.GetID())
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.addObserver(line, line.PointPositionDefinedEvent, self._on_change)
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._on_change)

    def cancel(self) -> None:
        """Await no more clicks."""
        if self._line is not None:
            slicer.app.applicationLogic().GetInteractionNode().SwitchToViewTransformMode()
            self._timer.stop()
            self._take_line()

    def _on_change(self, caller: Any, event: str) -> None:
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        is_placed = self._line.GetNumberOfDefinedControlPoints() == self._clicks
        if is_placed or interaction.GetCurrentInteractionMode() != interaction.Place:
            self._timer.start()

    def _finish(self) -> None:
        slicer.app.applicationLogic().GetInteractionNode().SwitchToViewTransformMode()
        points = self._take_line()
        if len(points) == self._clicks:
            self._on_placed(*points)

    def _take_line(self) -> list[Point]:
        """Remove the line and return the points that were placed."""
        self.removeObservers()
        line, self._line = self._line, None
        count = line.GetNumberOfDefinedControlPoints()
        points = [as_point(line.GetNthControlPointPosition(i)) for i in range(count)]
        if slicer.mrmlScene.IsNodePresent(line):
            remove_with_companions(line)
        self._on_end()
        return points


def ignore(*points_ras: Point) -> None:
    """Do nothing with points that were placed."""
