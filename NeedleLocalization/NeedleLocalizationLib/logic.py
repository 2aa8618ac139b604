"""From a volume node to needles in the scene; usable without the module's panel.

Example
-------
>>> logic = NeedleLocalizationLogic()
>>> nodes = logic.locate(volume_node, LocateOptions(count=17))
"""

from __future__ import annotations

import time
from collections.abc import Callable

from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.service.work import NeedleFinder
from NeedleLocalizationLib import installation
from NeedleLocalizationLib.in_process_backend import InProcessBackend
from NeedleLocalizationLib.localization_run import LocalizationRun, RunState
from NeedleLocalizationLib.needle_nodes import (
    implant_of_result,
    needle_nodes_of,
    write_implant,
)
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters
from NeedleLocalizationLib.polled_backend import PolledBackend
from NeedleLocalizationLib.session_process import end_session_process, session_client
from NeedleLocalizationLib.volume_input import VolumeInput

WAIT_S = 0.005


class NeedleLocalizationLogic(ScriptedLoadableModuleLogic):
    """Finds the needles of volume nodes and keeps them in the scene.

    Parameters
    ----------
    finder
        What finds needles in this process; None for the backend process.
    """

    def __init__(self, finder: NeedleFinder | None = None) -> None:
        super().__init__()
        self._backend: PolledBackend | None = None
        if finder is not None:
            self.use(finder)

    def use(self, finder: NeedleFinder) -> None:
        """From now on find needles in this process."""
        self._backend = PolledBackend(InProcessBackend(finder))

    def getParameterNode(self) -> NeedleLocalizationParameters:
        """Return the scene's parameters of this module."""
        return NeedleLocalizationParameters(super().getParameterNode())

    def locate(
        self, volume_node: vtkMRMLScalarVolumeNode, options: LocateOptions
    ) -> list[vtkMRMLMarkupsLineNode]:
        """Find the needles of a volume and draw them, waiting for the result.

        Raises
        ------
        InputError, BackendError
            When the volume cannot be used or finding fails; the scene is as before.
        """
        ended: list[LocalizationRun] = []
        self.start(volume_node, options, lambda state: None, ended.append)
        while not ended:
            self.backend().poll()
            time.sleep(WAIT_S)
        return self.show(volume_node, ended[0].result())

    def start(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        options: LocateOptions,
        on_progress: Callable[[RunState], None],
        on_end: Callable[[LocalizationRun], None],
    ) -> LocalizationRun:
        """Start looking for needles without waiting; ``on_end`` gets the run and may show it.

        Raises
        ------
        InputError, BackendError
            When the volume cannot be used or the backend not be started; nothing was started.
        """
        run = LocalizationRun(volume_node, VolumeInput.from_node(volume_node), on_progress, on_end)
        run.start(self.backend(), options)
        return run

    def show(
        self, volume_node: vtkMRMLScalarVolumeNode, result: LocateResult
    ) -> list[vtkMRMLMarkupsLineNode]:
        """Draw a result's needles in place of those the volume had."""
        write_implant(volume_node, implant_of_result(volume_node, result))
        return needle_nodes_of(volume_node)

    def require_packages(self) -> None:
        """Make sure that the backend process can work; asks before anything is installed.

        Raises
        ------
        InputError
            When something is missing and was not installed.
        """
        if self._backend is None and installation.missing_packages():
            installation.require_backend_packages()
            end_session_process()  # one that has started without them does not see them

    def backend(self) -> PolledBackend:
        """Return what needles are asked of; its process starts with the first request."""
        if self._backend is None:
            self._backend = PolledBackend(session_client())
        return self._backend

    def scoring_backend(self) -> PolledBackend | None:
        """Return what lines can be scored by; None while packages for it are missing."""
        if self._backend is None and installation.missing_packages():
            return None
        return self.backend()

    def close(self) -> None:
        """End what runs, the backend process included."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None
        end_session_process()
