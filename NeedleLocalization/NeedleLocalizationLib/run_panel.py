"""The button that is Apply and then Cancel, the progress bar and the line of status."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from needle_backend.core.needles import LocateResult
from NeedleLocalizationLib.localization_run import RunState

STAGES = {
    "start": _("Starting the detector"),
    "read": _("Reading the volume"),
    "tophat": _("Enhancing metal"),
    "network": _("Looking for tips and handles"),
    "match": _("Matching tips with handles"),
}


class RunPanel:
    """Shows where a run stands; decides nothing."""

    def __init__(
        self, apply_button: qt.QPushButton, progress_bar: qt.QProgressBar, status_label: qt.QLabel
    ) -> None:
        self._button = apply_button
        self._bar = progress_bar
        self._status = status_label
        self.show_ready(can_apply=False)

    def show_ready(self, can_apply: bool) -> None:
        """Offer Apply; the status keeps saying how the last run ended."""
        self._button.text = _("Apply")
        self._button.enabled = can_apply
        self._button.toolTip = (
            _("Find the needles of this volume.") if can_apply else _("Load a CT and choose it.")
        )
        self._bar.visible = False

    def show_running(self, state: RunState) -> None:
        """Offer Cancel, and show how far the run is."""
        self._button.text = _("Cancel")
        self._button.enabled = True
        self._button.toolTip = _("Stop; the scene stays as it is.")
        self._bar.visible = True
        self._bar.value = round(100 * state.fraction)
        stage = STAGES.get(state.stage, state.stage)
        self._status.text = _("{stage}… {seconds:.0f} s").format(
            stage=stage, seconds=state.elapsed_s
        )

    def show_cancelling(self) -> None:
        """Say that the run is stopping."""
        self._button.text = _("Cancelling…")
        self._button.enabled = False

    def show_message(self, message: str) -> None:
        """Say what happened."""
        self._status.text = message


def result_text(result: LocateResult) -> str:
    """Say in words what was found, and what to look at."""
    found = len(result.needles)
    if result.count.estimated:
        lines = [_("{found} needles found; their number was estimated.").format(found=found)]
    else:
        lines = [
            _("{found} of {count} needles found.").format(found=found, count=result.count.value)
        ]
    doubtful = sum(bool(needle.doubts) for needle in result.needles)
    if doubtful:
        lines.append(_("To check: {doubtful}, listed first.").format(doubtful=doubtful))
    tips, handles = len(result.unmatched_tips), len(result.unmatched_handles)
    if tips or handles:
        lines.append(
            _("Ends without a partner: tips {tips}, handles {handles}.").format(
                tips=tips, handles=handles
            )
        )
    if result.surplus:
        lines.append(
            _("Beyond the count given, not drawn: {surplus}.").format(surplus=len(result.surplus))
        )
    return "\n".join([*lines, *result.warnings])
