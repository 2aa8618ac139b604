"""NeedleTipUS: marks the needle's tip in a stream of ultrasound images."""

from __future__ import annotations

import sys
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from NeedleTipUSLib.live_panel import LivePanel
from NeedleTipUSLib.logic import NeedleTipUSLogic
from NeedleTipUSLib.parameters import NeedleTipUSParameters, tracking_settings
from NeedleTipUSLib.recording_panel import RecordingPanel
from NeedleTipUSLib.region_panel import RegionPanel
from NeedleTipUSLib.sample_data import SAMPLE
from NeedleTipUSLib.self_test import NeedleTipUSTest
from NeedleTipUSLib.sending import offer_connectors
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.weights_button import WeightsButton

# isort: split
from NeedleLocalizationLib.parameter_widgets import connect_widgets  # NeedleTipUSLib finds it

__all__ = ["NeedleTipUS", "NeedleTipUSLogic", "NeedleTipUSTest", "NeedleTipUSWidget"]

FIGURES_INTERVAL_MS = 500


class NeedleTipUS(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Needle Tip Ultrasound")
        parent.categories = [translate("qSlicerAbstractCoreModule", "IGT")]
        parent.dependencies = ["NeedleLocalization"]  # whose backend process serves both
        parent.contributors = ["NeedleGuide contributors"]
        parent.helpText = _(
            "<p>Marks the needle's tip in live B-mode images: choose the stream, which is any "
            "volume whose image changes (received through OpenIGTLink, or replayed from a "
            "sequence), and click Start. Green is a tip that is seen, yellow one that is predicted "
            "for up to half a second; a tip that is lost is not drawn, and the panel says so.</p>"
            "<p><b>What it was tested on:</b> the detector is trained on simulated punctures and "
            "three images of a real one. Of the two real needles that were tried it finds the "
            "coarse one in those three of six images, and the faint one in 10 of 65. It is "
            "research software, not a medical device: do not guide a needle in a person by it.</p>"
        )
        parent.acknowledgementText = _(
            "The networks follow Wang et al., 2024 (TipDet) and 2025 (YOLOT); boxes mark the tip's "
            "surroundings, their centre is the tip."
        )
        # Modules are made one after the other; Sample Data may be made later.
        slicer.app.connect("startupCompleted()", SAMPLE.register)


class NeedleTipUSWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: the stream, Start or Stop, and what is known of the tip."""

    def __init__(self, parent: Any = None) -> None:
        self.logic: NeedleTipUSLogic
        self._parameters: NeedleTipUSParameters
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    # What Slicer calls

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        ui_widget = slicer.util.loadUI(self.resourcePath("UI/NeedleTipUS.ui"))
        self.layout.addWidget(ui_widget)
        ui_widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(ui_widget)

        # The parameter node is the same from scene to scene, so it is connected once.
        self.logic = NeedleTipUSLogic()
        self._parameters = self.logic.getParameterNode()
        self._gui_tag = connect_widgets(self._parameters, self.ui)
        self._panel = LivePanel(self.ui)
        self._region = RegionPanel(self.ui, self.logic, self._parameters)
        self._recording = RecordingPanel(self.ui, self.logic, self._panel.show_notice)
        self._weights = WeightsButton(self.ui.weightsButton, self._parameters)
        offer_connectors(self.ui.connectorSelector, self._on_connector_chosen)
        self.ui.startButton.connect("clicked(bool)", self._on_start_or_stop)
        self._timer = qt.QTimer()
        self._timer.setInterval(FIGURES_INTERVAL_MS)
        self._timer.connect("timeout()", self._show_figures)

        node = self._parameters.parameterNode
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        self.addObserver(scene, scene.EndCloseEvent, self._on_scene_end_close)
        self.addObserver(scene, scene.EndImportEvent, self._on_scene_end_import)
        self._on_parameters_modified()

    def cleanup(self) -> None:
        self._stop()
        self._parameters.disconnectGui(self._gui_tag)
        self.removeObservers()

    def onReload(self) -> None:
        for name in list(sys.modules):  # Slicer itself reloads the module's script only
            if name.split(".")[0] in ("NeedleTipUSLib", "needle_backend"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Parameters and scene

    def _on_parameters_modified(self, caller: Any = None, event: str = "") -> None:
        parameters, tracking = self._parameters, self.logic.tracking
        self.logic.nodes.shows_trail = parameters.trail_visible
        self.ui.connectorSelector.setCurrentNode(parameters.connector)
        self._region.show_choices()
        if tracking is None:
            self._panel.show_stopped(can_start=parameters.volume is not None)
            return
        if parameters.volume is not tracking.node:
            self._follow_the_choice()
            return
        tracking.use(tracking_settings(parameters))
        self.logic.sending.use(parameters.connector)
        if parameters.region_visible != self.logic.nodes.shows_region:
            self.logic.nodes.shows_region = parameters.region_visible
            self.logic.nodes.draw_region(tracking.node)

    def _on_connector_chosen(self, connector: Any) -> None:
        self._parameters.connector = connector

    def _on_scene_start_close(self, caller: Any, event: str) -> None:
        self._recording.forget()

    def _on_scene_end_close(self, caller: Any, event: str) -> None:
        self.logic.getParameterNode()  # writes the defaults anew, as closing has removed all values

    def _on_scene_end_import(self, caller: Any, event: str) -> None:
        self._parameters.Modified()  # loading fills the parameter node without saying so

    # Start and Stop

    def _on_start_or_stop(self) -> None:
        if self.logic.tracking is not None:
            self._stop()
            return
        try:
            self.logic.require_packages()
            self._start()
        except Exception as error:
            slicer.util.errorDisplay(str(error), windowTitle=_("Needle Tip Ultrasound"))
            self._panel.show_notice(str(error))

    def _follow_the_choice(self) -> None:
        """Go on with the stream that was chosen meanwhile, or stop when there is none."""
        if self._parameters.volume is None:
            self._stop()
        else:
            self._start()

    def _start(self) -> None:
        self.logic.nodes.shows_region = self._parameters.region_visible
        self._panel.show_running()
        self.logic.start(
            self._parameters.volume,
            tracking_settings(self._parameters),
            on_sighting=self._on_sighting,
            on_lost=self._panel.show_lost,
            on_notice=self._panel.show_notice,
            on_region=self._region.show_region,
            on_end=self._on_end,
        )
        self.logic.sending.use(self._parameters.connector)
        self._timer.start()
        self._recording.show_state()
        self._region.show_choices()

    def _stop(self) -> None:
        self.logic.stop()
        self._show_stopped()

    def _on_end(self, reason: str) -> None:
        self._show_stopped()
        self._panel.show_notice(reason)

    def _show_stopped(self) -> None:
        self._timer.stop()
        self._panel.show_stopped(can_start=self._parameters.volume is not None)
        self._recording.show_state()
        self._region.show_choices()

    def _on_sighting(self, sighting: Sighting) -> None:
        self._panel.show_sighting(sighting, self._parameters.target)

    def _show_figures(self) -> None:
        self._panel.show_figures(self.logic.tracking.statistics.figures())
        self._recording.show_state()
