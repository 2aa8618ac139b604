"""From a volume node to needles in the scene; usable without the module's panel.

Example
-------
>>> logic = NeedleLocalizationLogic()
>>> nodes = logic.locate(volume_node, LocateOptions(count=17))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.core.progress import CancelToken, Progress, no_progress
from NeedleLocalizationLib import installation
from NeedleLocalizationLib.job import Job, JobState, Work
from NeedleLocalizationLib.localization_run import LocalizationRun
from NeedleLocalizationLib.needle_nodes import add_needles, needle_nodes_of, remove_needles
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters
from NeedleLocalizationLib.volume_input import VolumeInput

if TYPE_CHECKING:
    from needle_backend.ct.localize import Localizer


class NeedleLocalizationLogic(ScriptedLoadableModuleLogic):
    """Finds the needles of volume nodes and keeps them in the scene.

    Parameters
    ----------
    localizer
        What finds needles; None for the backend's own, imported when first used.
    """

    def __init__(self, localizer: Localizer | None = None) -> None:
        super().__init__()
        self.localizer = localizer

    def getParameterNode(self) -> NeedleLocalizationParameters:
        """Return the scene's parameters of this module."""
        return NeedleLocalizationParameters(super().getParameterNode())

    def locate(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        options: LocateOptions,
        progress: Progress = no_progress,
    ) -> list[vtkMRMLMarkupsLineNode]:
        """Find the needles of a volume and draw them, waiting for the result.

        Raises
        ------
        InputError
            When the volume cannot be used; the scene is as before.
        """
        work = self._work(VolumeInput.from_node(volume_node), options)
        return self.show(volume_node, work(progress, CancelToken()))

    def start(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        options: LocateOptions,
        on_progress: Callable[[JobState], None],
        on_end: Callable[[LocalizationRun], None],
    ) -> LocalizationRun:
        """Start looking for needles without waiting; ``on_end`` gets the run and may show it.

        Raises
        ------
        InputError
            When the volume cannot be used; nothing was started.
        """
        volume_input = VolumeInput.from_node(volume_node)
        job = Job(self._work(volume_input, options))
        run = LocalizationRun(volume_node, volume_input, job, on_progress, on_end)
        run.start()
        return run

    def show(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        result: LocateResult,
        numbers_visible: bool = True,
    ) -> list[vtkMRMLMarkupsLineNode]:
        """Draw a result's needles in place of those the volume had."""
        earlier = needle_nodes_of(volume_node)
        nodes = add_needles(volume_node, result.needles, numbers_visible)
        remove_needles(earlier)
        return nodes

    def require_localizer(self) -> None:
        """Make sure that needles can be looked for; asks before anything is installed.

        Raises
        ------
        InputError
            When something is missing and was not installed.
        """
        if self.localizer is None:
            installation.require_backend_packages()

    def _work(self, volume_input: VolumeInput, options: LocateOptions) -> Work:
        def work(progress: Progress, cancel: CancelToken) -> LocateResult:
            if self.localizer is None:
                from needle_backend.ct.localize import InProcessLocalizer

                self.localizer = InProcessLocalizer()
            cancel.raise_if_cancelled()
            progress("read", 0.0)
            volume = volume_input.to_volume()
            progress("start", 0.0)  # the network is loaded at the first run
            result = self.localizer.locate(volume, options, progress, cancel)
            return replace(result, warnings=(*volume.warnings, *result.warnings))

        return work
