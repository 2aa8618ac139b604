"""NeedleLocalization: finds the needles in a CT and draws them as line markups."""

from __future__ import annotations

import sys
from typing import Any

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from NeedleLocalizationLib.advanced_panel import AdvancedPanel
from NeedleLocalizationLib.errors import explain
from NeedleLocalizationLib.export_panel import ExportPanel
from NeedleLocalizationLib.following import Following
from NeedleLocalizationLib.localization_run import LocalizationRun
from NeedleLocalizationLib.logic import NeedleLocalizationLogic
from NeedleLocalizationLib.needle_nodes import needle_nodes_of
from NeedleLocalizationLib.parameter_widgets import connect_widgets
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters, locate_options
from NeedleLocalizationLib.review_panel import ReviewPanel
from NeedleLocalizationLib.run_panel import RunPanel, result_text
from NeedleLocalizationLib.sample_data import SAMPLE
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
        # Modules are made one after the other; Sample Data may be made later.
        slicer.app.connect("startupCompleted()", SAMPLE.register)
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
        self._keeps_hand_made = False
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    # What Slicer calls

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        ui_widget = slicer.util.loadUI(self.resourcePath("UI/NeedleLocalization.ui"))
        self.layout.addWidget(ui_widget)
        ui_widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(ui_widget)

        self._panel = RunPanel(self.ui.applyButton, self.ui.progressBar, self.ui.statusLabel)
        self.ui.applyButton.connect("clicked(bool)", self._on_apply_or_cancel)

        # The parameter node is the same from scene to scene, so it is connected once.
        self.logic = NeedleLocalizationLogic()
        self._parameters = self.logic.getParameterNode()
        self._gui_tag = connect_widgets(self._parameters, self.ui)
        self._advanced = AdvancedPanel(self.ui, self._parameters)
        self._review = ReviewPanel(self.ui, self.logic, self._parameters, self._panel.show_message)
        self._following = Following(self._review.enter_frame)
        self._following.watch()
        self._export = ExportPanel(self.ui, self._parameters, self._panel.show_message)
        node = self._parameters.parameterNode
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_parameters_modified)
        self._on_parameters_modified()

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        self.addObserver(scene, scene.EndCloseEvent, self._on_scene_end_close)
        self.addObserver(scene, scene.EndImportEvent, self._on_scene_end_import)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self._on_nodes_changed)

    def enter(self) -> None:
        if self._parameters.volume is None:
            self._parameters.volume = first_volume()
        self._review.enter(slicer.util.mainWindow() or self.parent)

    def exit(self) -> None:
        self._review.exit()

    def cleanup(self) -> None:
        if self._run is not None:
            self._run.abandon()
            self._run = None
        self._review.close()
        self._following.stop()
        self.logic.close()
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
        if volume is not self._review.volume_node:
            self._review.show_volume(volume)
        self._advanced.show()
        self._review.show_choices()

    def _on_scene_start_close(self, caller: Any, event: str) -> None:
        self._review.forget()
        self._following.stop()

    def _on_scene_end_close(self, caller: Any, event: str) -> None:
        self.logic.getParameterNode()  # writes the defaults anew, as closing has removed all values
        self._review.show_volume(self._parameters.volume)

    def _on_scene_end_import(self, caller: Any, event: str) -> None:
        self._review.forget()
        self._following.watch()
        self._parameters.Modified()  # loading fills the parameter node without saying so
        self._review.show_volume(self._parameters.volume)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_nodes_changed(self, caller: Any, event: str, node: Any) -> None:
        is_volume = node.IsA("vtkMRMLScalarVolumeNode")
        if is_volume and not (caller.IsImporting() or caller.IsClosing()):
            self._following.watch()
        if is_volume or node.IsA("vtkMRMLMarkupsNode"):
            self._review.look_again()

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
            self._keeps_hand_made = self._user_keeps_hand_made()
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

    def _user_keeps_hand_made(self) -> bool:
        count = self._review.hand_made_count()
        if count == 0 or slicer.app.testingEnabled():
            return False
        question = _(
            "{count} needles were accepted, added or edited. Keep them?\n\n"
            "Yes: keep them, and add what is found elsewhere.\nNo: replace them too."
        )
        return slicer.util.confirmYesNoDisplay(
            question.format(count=count), windowTitle=_("Needle Localization")
        )

    def _on_run_end(self, run: LocalizationRun) -> None:
        self._run = None
        try:
            result = run.result()
            self._review.take_run(run, result, self._keeps_hand_made)
            message = result_text(result)
        except Exception as error:
            message = explain(error)
        self._panel.show_message(message)
        self._panel.show_ready(can_apply=self._parameters.volume is not None)
