"""The button that chooses weights trained on one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from NeedleTipUSLib.parameters import NeedleTipUSParameters


class WeightsButton:
    """Asks for a weights file, beginning where the last one lies.

    Parameters
    ----------
    button
        To be clicked.
    """

    def __init__(self, button: Any, parameters: NeedleTipUSParameters) -> None:
        self._button = button
        self._parameters = parameters
        button.connect("clicked(bool)", self._choose)

    def _choose(self) -> None:
        chosen = self._parameters.weights
        path = qt.QFileDialog.getOpenFileName(
            self._button,
            _("Weights with their model card"),
            str(Path(chosen).parent) if chosen else "",
            _("Weights (*.safetensors)"),
        )
        if path:
            self._parameters.weights = path
