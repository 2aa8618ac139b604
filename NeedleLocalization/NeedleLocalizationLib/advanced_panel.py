"""The advanced section: how needles are found, for those who want to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from needle_backend.core.needles import LocateOptions
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters

WEIGHTS = ("weights", "pair_weights")
"""Parameters that name a file of weights."""
ADVANCED = ("device", "method", "solver", "tip_threshold", "handle_threshold", *WEIGHTS)
"""The parameters of this section."""


class AdvancedPanel:
    """Looks for weights, restores defaults, and says when there is something else than those.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    """

    def __init__(self, ui: Any, parameters: NeedleLocalizationParameters) -> None:
        self._ui = ui
        self._parameters = parameters
        self._buttons = dict(zip(WEIGHTS, (ui.weightsButton, ui.pairWeightsButton), strict=True))
        for name, button in self._buttons.items():
            button.connect("clicked(bool)", lambda checked, name=name: self._choose_file(name))
        ui.defaultsButton.connect("clicked(bool)", self._restore_defaults)

    def show(self) -> None:
        """Offer what the method uses, and tell when a choice differs from the defaults."""
        ui, parameters = self._ui, self._parameters
        by_network = parameters.method == LocateOptions.method
        for widget in (
            ui.deviceComboBox,
            ui.solverComboBox,
            ui.tipThresholdSpinBox,
            ui.handleThresholdSpinBox,
            ui.weightsLineEdit,
            ui.pairWeightsLineEdit,
            *self._buttons.values(),
        ):
            widget.enabled = by_network
        is_changed = any(
            parameters.getValue(name) != parameters.default(name).value for name in ADVANCED
        )
        ui.defaultsButton.enabled = is_changed
        title = _("Advanced (changed)") if is_changed else _("Advanced")
        ui.advancedCollapsibleButton.text = title

    def _choose_file(self, name: str) -> None:
        chosen = self._parameters.getValue(name)
        path = qt.QFileDialog.getOpenFileName(
            self._buttons[name],
            _("Weights with their model card"),
            str(Path(chosen).parent) if chosen else "",
            _("Weights (*.safetensors)"),
        )
        if path:
            self._parameters.setValue(name, path)

    def _restore_defaults(self) -> None:
        with slicer.util.NodeModify(self._parameters):
            for name in ADVANCED:
                self._parameters.setValue(name, self._parameters.default(name).value)
