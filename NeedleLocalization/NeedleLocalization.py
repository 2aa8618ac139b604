"""NeedleLocalization: finds the needles in a CT and draws them as line markups."""

from __future__ import annotations

import sys
from typing import Any

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from NeedleLocalizationLib.errors import explain
from NeedleLocalizationLib.localization_run import LocalizationRun
from NeedleLocalizationLib.logic import NeedleLocalizationLogic
from NeedleLocalizationLib.needle_display import jump_to_tip, show_numbers
from NeedleLocalizationLib.needle_nodes import needle_nodes_of
from NeedleLocalizationLib.needle_table import NeedleTable
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters, locate_options
from NeedleLocalizationLib.run_panel import RunPanel, result_text
from NeedleLocalizationLib.self_test import NeedleLocalizationTest
from NeedleLocalizationLib.volume_input import first_volume

__all__ = [
    "NeedleLocalization",
    "NeedleLocalizationLogic",
    "NeedleLocalizationTest",
    "NeedleLocalizationWidget",
]


class NeedleLocalization(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Needle Localization")
        parent.categories = [translate("qSlicerAbstractCoreModule", "IGT")]
        parent.contributors = ["NeedleGuide contributors"]
        parent.helpText = _(
            "<p>Finds straight brachytherapy needles in a CT of the pelvis: choose the CT and, if "
            "known, the number of needles, and click Apply. Each needle becomes a numbered line "
            "from its tip (T) to the centre of its hub (H); those with a reason for doubt come "
            "first in the table.</p>"
            "<p><b>What it was tested on:</b> the detector is trained on simulated CT only, and no "
            "clinical case has been tested. It is research software, not a medical device: check "
            "every needle before using it for anything.</p>"
        )
        parent.acknowledgementText = _(
            "Detection and matching follow X. Xiao et al., 2025, "
            '<a href="https://arxiv.org/abs/2509.17931">arXiv:2509.17931</a>.'
        )


class NeedleLocalizationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: inputs, Apply or Cancel, and the table of needles."""

    def __init__(self, parent: Any = None) -> None:
        self.logic: NeedleLocalizationLogic
        self._parameters: NeedleLocalizationParameters
        self._run: LocalizationRun | None = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    # What Slicer calls

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        ui_widget = slicer.util.loadUI(self.resourcePath("UI/NeedleLocalization.ui"))
        self.layout.addWidget(ui_widget)
        ui_widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(ui_widget)

        self._table = NeedleTable(self.ui.needleTable, jump_to_tip)
        self._panel = RunPanel(self.ui.applyButton, self.ui.progressBar, self.ui.statusLabel)
        self.ui.applyButton.connect("clicked(bool)", self._on_apply_or_cancel)

        # Many nodes come and go at once: the table is filled once, when the events are through.
        self._table_timer = qt.QTimer()
        self._table_timer.setSingleShot(True)
        self._table_timer.setInterval(0)
        self._table_timer.connect("timeout()", self._fill_table)

        # The parameter node is the same from scene to scene, so it is connected once.
        self.logic = NeedleLocalizationLogic()
        self._parameters = self.logic.getParameterNode()
        self._gui_tag = self._parameters.connectGui(self.ui)
        node = self._parameters.parameterNode
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
        self._on_parameters_modified()

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.EndCloseEvent, self._on_scene_end_close)
        self.addObserver(scene, scene.EndImportEvent, self._on_scene_end_import)
        self.addObserver(scene, scene.NodeRemovedEvent, self._on_node_removed)

    def enter(self) -> None:
        if self._parameters.volume is None:
            self._parameters.volume = first_volume()
        self._table_timer.start()

    def cleanup(self) -> None:
        if self._run is not None:
            self._run.abandon()
            self._run = None
        self.logic.close()
        self._table_timer.stop()
        self._parameters.disconnectGui(self._gui_tag)
        self.removeObservers()

    def onReload(self) -> None:
        for name in list(sys.modules):  # Slicer itself reloads the module's script only
            if name.split(".")[0] in ("NeedleLocalizationLib", "needle_backend"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Parameters and scene

    def _on_parameters_modified(self, caller: Any = None, event: str = "") -> None:
        volume = self._parameters.volume
        if self._run is None:
            self._panel.show_ready(can_apply=volume is not None)
        if volume is not self._table.volume:
            self._table_timer.start()
        show_numbers(self._table.nodes, self._parameters.numbers_visible)

    def _on_scene_end_close(self, caller: Any, event: str) -> None:
        self.logic.getParameterNode()  # writes the defaults anew, as closing has removed all values
        self._fill_table()

    def _on_scene_end_import(self, caller: Any, event: str) -> None:
        self._parameters.Modified()  # loading fills the parameter node without saying so
        self._table_timer.start()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, caller: Any, event: str, node: Any) -> None:
        if node in self._table.nodes:
            self._table_timer.start()

    # The table

    def _fill_table(self) -> None:
        self.removeObservers(self._on_needle_modified)
        volume = self._parameters.volume
        self._table.fill(volume, needle_nodes_of(volume))
        for node in self._table.nodes:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_needle_modified)

    def _on_needle_modified(self, caller: Any, event: str) -> None:
        self._table_timer.start()

    # Apply and Cancel

    def _on_apply_or_cancel(self) -> None:
        if self._run is not None:
            self._run.cancel()
            self._panel.show_cancelling()
            return
        try:
            volume_node = self._parameters.volume
            if not self._may_replace_needles_of(volume_node):
                return
            self.logic.require_packages()
            self._run = self.logic.start(
                volume_node,
                locate_options(self._parameters),
                self._panel.show_running,
                self._on_run_end,
            )
        except Exception as error:
            self._panel.show_message(explain(error))

    def _may_replace_needles_of(self, volume_node: vtkMRMLScalarVolumeNode | None) -> bool:
        count = len(needle_nodes_of(volume_node))
        if count == 0 or slicer.app.testingEnabled():
            return True
        question = _("{name} has {count} needles. Replace them when the new ones are found?")
        return slicer.util.confirmOkCancelDisplay(
            question.format(name=volume_node.GetName(), count=count),
            windowTitle=_("Needle Localization"),
        )

    def _on_run_end(self, run: LocalizationRun) -> None:
        self._run = None
        try:
            result = run.result()
            self.logic.show(run.volume_node, result, self._parameters.numbers_visible)
            message = result_text(result)
        except Exception as error:
            message = explain(error)
        self._panel.show_message(message)
        self._panel.show_ready(can_apply=self._parameters.volume is not None)
        self._fill_table()
