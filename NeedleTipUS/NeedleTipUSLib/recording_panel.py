"""The buttons that record what is seen, and write it as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from NeedleTipUSLib.logic import NeedleTipUSLogic
from NeedleTipUSLib.recording import Recording

ENDING = ".csv"


class RecordingPanel:
    """Records while its button is down; what was recorded last can be written.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    say
        Shows a line of notice.
    """

    def __init__(self, ui: Any, logic: NeedleTipUSLogic, say: Callable[[str], None]) -> None:
        self._ui = ui
        self._logic = logic
        self._say = say
        self._recorded: Recording | None = None
        ui.recordButton.connect("toggled(bool)", self._on_record)
        ui.tableButton.connect("clicked(bool)", self._write)
        self.show_state()

    def show_state(self) -> None:
        """Offer what can be done now, and tell how much was recorded."""
        ui, is_tracking = self._ui, self._logic.tracking is not None
        ui.recordButton.enabled = is_tracking
        if not is_tracking and ui.recordButton.checked:
            ui.recordButton.checked = False
        count = 0 if self._recorded is None else len(self._recorded.answers)
        ui.recordedLabel.text = _("{count} images").format(count=count) if count else ""
        ui.tableButton.enabled = count > 0 and not ui.recordButton.checked

    def forget(self) -> None:
        """Drop what was recorded: its scene is closed."""
        self._recorded = None
        self.show_state()

    def _on_record(self, is_down: bool) -> None:
        if is_down:
            try:
                self._recorded = self._logic.start_recording()
            except Exception as error:
                self._ui.recordButton.checked = False
                self._say(str(error))
        else:
            self._logic.stop_recording()
        self.show_state()

    def _write(self) -> None:
        chosen = qt.QFileDialog.getSaveFileName(
            self._ui.tableButton,
            _("Write the recorded tips"),
            f"tips{ENDING}",
            _("Table (*.csv)"),
        )
        if not chosen:
            return
        path = Path(chosen if chosen.lower().endswith(ENDING) else chosen + ENDING)
        try:
            self._recorded.write_table(path)
            self._say(_("Written: {path}").format(path=path))
        except Exception as error:
            slicer.util.errorDisplay(str(error), windowTitle=_("Needle Tip Ultrasound"))
            self._say(str(error))
