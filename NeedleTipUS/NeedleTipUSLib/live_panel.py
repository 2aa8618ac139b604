"""Start and Stop, and what is known of the tip right now, large enough to be read in passing."""

from __future__ import annotations

from typing import Any

import numpy as np
import qt
from slicer import vtkMRMLMarkupsFiducialNode
from slicer.i18n import tr as _

from needle_backend.us.tips import DETECTED, LOST, PREDICTED
from NeedleTipUSLib.live_statistics import LiveFigures
from NeedleTipUSLib.sighting import Sighting, distance_text
from NeedleTipUSLib.tip_nodes import COLOURS

STYLE = "font-size: 20pt; font-weight: bold; padding: 6px; color: {colour}; background: black;"
IDLE_COLOUR = "#9a9a9a"


class LivePanel:
    """Shows where tracking stands; decides nothing.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._style = ""
        self.show_stopped(can_start=False)

    def show_stopped(self, can_start: bool) -> None:
        """Offer Start; the notice keeps saying why tracking ended."""
        self._ui.startButton.text = _("Start")
        self._ui.startButton.enabled = can_start
        self._write(_("not tracking"), IDLE_COLOUR)
        self._ui.statisticsLabel.text = ""
        self._ui.distanceLabel.text = ""

    def show_running(self) -> None:
        """Offer Stop."""
        self._ui.startButton.text = _("Stop")
        self._ui.startButton.enabled = True
        self._write(_("starting…"), IDLE_COLOUR)
        self.show_notice("")

    def show_sighting(self, sighting: Sighting, target: vtkMRMLMarkupsFiducialNode | None) -> None:
        """Show the tip's state, and how far it is from the target."""
        answer = sighting.answer
        texts = {
            DETECTED: lambda: _("tip seen, {confidence:.0f} %").format(
                confidence=100 * answer.tip.confidence
            ),
            PREDICTED: lambda: _("tip not seen, predicted"),
            LOST: lambda: _("TIP LOST"),
        }
        self._write(texts[answer.state](), colour_name(answer.state))
        place = target_world(target)
        self._ui.distanceLabel.text = "" if place is None else distance_text(sighting, place)

    def show_lost(self) -> None:
        """Say that nothing is known."""
        self._write(_("TIP LOST"), colour_name(LOST))
        self._ui.distanceLabel.text = ""

    def show_figures(self, figures: LiveFigures) -> None:
        """Show how fast all goes."""
        latency = ""
        if figures.latency_median_ms is not None:
            latency = _("latency {median:.0f} ms, 95 % within {p95:.0f} ms").format(
                median=figures.latency_median_ms, p95=figures.latency_p95_ms
            )
        rates = _("{images:.0f} images/s, {answers:.0f} looked at, {dropped} dropped").format(
            images=figures.images_a_second,
            answers=figures.answers_a_second,
            dropped=figures.dropped,
        )
        model = ""
        if figures.answered_as:
            model = _("answers of {model}").format(model=figures.answered_as)
        self._ui.statisticsLabel.text = "\n".join(filter(None, (rates, latency, model)))

    def show_notice(self, notice: str) -> None:
        """Say what the user should know."""
        if self._ui.noticeLabel.text != notice:
            self._ui.noticeLabel.text = notice

    def _write(self, text: str, colour: str) -> None:
        label = self._ui.stateLabel
        label.text = text
        style = STYLE.format(colour=colour)
        if style != self._style:  # setting one is slow, and rarely needed
            label.styleSheet = self._style = style


def colour_name(state: str) -> str:
    """Return a state's colour as style sheets write it."""
    return qt.QColor.fromRgbF(*COLOURS[state]).name()


def target_world(target: vtkMRMLMarkupsFiducialNode | None) -> np.ndarray | None:
    """Return the first point of a markup in RAS mm; None where none is placed."""
    if target is None or target.GetNumberOfDefinedControlPoints() == 0:
        return None
    return np.array([target.GetNthControlPointPositionWorld(0)[axis] for axis in range(3)])
