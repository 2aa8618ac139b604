"""The list of formats and the button that exports the needles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from NeedleLocalizationLib.errors import explain
from NeedleLocalizationLib.export_files import FORMATS, Format, export_needles
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters, quality_limits


class ExportPanel:
    """Asks where to, and writes what was chosen.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    say
        Shows a line of status.
    """

    def __init__(
        self, ui: Any, parameters: NeedleLocalizationParameters, say: Callable[[str], None]
    ) -> None:
        self._ui = ui
        self._parameters = parameters
        self._say = say
        ui.formatComboBox.addItems([format_.title for format_ in FORMATS])
        ui.exportButton.connect("clicked(bool)", self._export)

    def _export(self) -> None:
        volume_node = self._parameters.volume
        format_ = FORMATS[self._ui.formatComboBox.currentIndex]
        path = volume_node and self._ask_path(volume_node, format_)
        if not path:
            return
        try:
            limits = quality_limits(self._parameters)
            warnings = export_needles(path, format_, volume_node, limits)
        except Exception as error:
            self._say(explain(error))
            return
        self._say("\n".join([_("Written: {path}").format(path=path), *warnings]))

    def _ask_path(self, volume_node: vtkMRMLScalarVolumeNode, format_: Format) -> Path | None:
        chosen = qt.QFileDialog.getSaveFileName(
            self._ui.exportButton,
            _("Export needles"),
            f"{volume_node.GetName()} needles{format_.suffix}",
            f"{format_.title} (*{format_.suffix})",
        )
        if not chosen:
            return None
        has_suffix = chosen.lower().endswith(format_.suffix)
        return Path(chosen if has_suffix else chosen + format_.suffix)
