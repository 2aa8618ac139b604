"""From a stream to its needle's tip in the scene; usable without the module's panel.

Example
-------
>>> logic = NeedleTipUSLogic()
>>> logic.start(volume_node, TrackingSettings(), on_sighting=lambda seen: print(seen.answer))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer import vtkMRMLVolumeNode
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from needle_backend.core.errors import InputError
from NeedleLocalizationLib import installation
from NeedleLocalizationLib.session_process import session_client
from NeedleTipUSLib.parameters import NeedleTipUSParameters
from NeedleTipUSLib.recording import Recording
from NeedleTipUSLib.sending import TipSending
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.stream_image import StreamImage
from NeedleTipUSLib.tip_finder import Backend, TipFinder
from NeedleTipUSLib.tip_nodes import TipNodes, show_in_red_view
from NeedleTipUSLib.tracking import Listener, Rect, Tracking, TrackingSettings


def ignore(*arguments: Any) -> None:
    """Do nothing."""


class NeedleTipUSLogic(ScriptedLoadableModuleLogic):
    """Looks for the tip in one stream at a time, and draws it.

    Parameters
    ----------
    backend
        Returns what finds tips; by default the session's backend process.

    Attributes
    ----------
    tracking
        What runs, None when nothing does.
    nodes
        The drawing of the tip.
    recording
        What is kept while recording, None otherwise.
    sending
        To other programs.
    """

    def __init__(self, backend: Callable[[], Backend] | None = None) -> None:
        super().__init__()
        self._backend = backend
        self.tracking: Tracking | None = None
        self.nodes = TipNodes()
        self.recording: Recording | None = None
        self.sending = TipSending()

    def getParameterNode(self) -> NeedleTipUSParameters:
        """Return the scene's parameters of this module."""
        return NeedleTipUSParameters(super().getParameterNode())

    def use(self, backend: Callable[[], Backend]) -> None:
        """From now on ask something else than the session's backend process."""
        self._backend = backend

    def require_packages(self) -> None:
        """Make sure that the backend process can work; asks before anything is installed.

        Raises
        ------
        InputError
            When something is missing and was not installed.
        """
        if self._backend is None:
            installation.require_backend_packages()

    def start(
        self,
        volume_node: vtkMRMLVolumeNode | None,
        settings: TrackingSettings,
        on_sighting: Callable[[Sighting], None] = ignore,
        on_lost: Callable[[], None] = ignore,
        on_notice: Callable[[str], None] = ignore,
        on_region: Callable[[Rect], None] = ignore,
        on_end: Callable[[str], None] = ignore,
    ) -> None:
        """Look for the tip in a stream from now on, instead of the one before.

        Parameters
        ----------
        on_sighting, on_lost, on_notice, on_region, on_end
            See :class:`Listener`; called once the scene shows it.

        Raises
        ------
        InputError
            When there is no stream.
        """
        self.stop()
        if volume_node is None:
            raise InputError(_("No stream is chosen; choose a volume whose image changes."))

        def show_region(image: StreamImage, region: Rect) -> None:
            self.nodes.show_region(image, region, volume_node)
            on_region(region)

        def show(sighting: Sighting) -> None:
            self.sending.include()
            self.nodes.show(sighting, volume_node)
            if self.recording is not None:
                self.recording.keep(sighting)
            on_sighting(sighting)

        def lose() -> None:
            self.nodes.lose()
            on_lost()

        def end(reason: str) -> None:
            self.stop()
            on_end(reason)

        show_in_red_view(volume_node)
        listener = Listener(show, lose, on_notice, show_region, end)
        finder = TipFinder(self._backend or session_client)
        self.tracking = Tracking(volume_node, finder, settings, listener)
        self.tracking.start()

    def stop(self) -> None:
        """Look no further, and leave neither lines nor a place of the tip."""
        if self.tracking is not None:
            self.tracking.stop()
            self.tracking = None
            self.stop_recording()
            self.nodes.clear()
            self.sending.stop()

    def start_recording(self) -> Recording:
        """Keep what is seen from now on.

        Raises
        ------
        InputError
            When nothing is tracked.
        """
        if self.tracking is None:
            raise InputError(_("Start tracking first; then its tips can be recorded."))
        self.recording = Recording(self.tracking.node)
        return self.recording

    def stop_recording(self) -> Recording | None:
        """Keep no more; return what was kept, if anything was recorded."""
        recording, self.recording = self.recording, None
        return recording
