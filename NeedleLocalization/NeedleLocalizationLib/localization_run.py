"""One localization from Apply to its end, watched from the window's own thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.util import VTKObservationMixin

from needle_backend.core.errors import Cancelled, InputError
from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.service.job import Job
from NeedleLocalizationLib.polled_backend import PolledBackend
from NeedleLocalizationLib.volume_input import VolumeInput

SHOW_INTERVAL_MS = 100


@dataclass(frozen=True)
class RunState:
    """How far a run is: its stage, 0..1 within it, and the seconds since it started."""

    stage: str
    fraction: float
    elapsed_s: float


class LocalizationRun(VTKObservationMixin):
    """Asks a backend for a volume's needles; gives up when the volume or the scene goes away.

    Parameters
    ----------
    volume_node, volume_input
        The volume that is worked on, and what was copied from it.
    on_progress
        Called with the run's state at the start and several times a second.
    on_end
        Called once with this run when it has ended, unless it was abandoned.
    """

    def __init__(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        volume_input: VolumeInput,
        on_progress: Callable[[RunState], None],
        on_end: Callable[[LocalizationRun], None],
    ) -> None:
        super().__init__()
        self.volume_node = volume_node
        self.volume_input = volume_input
        self.job: Job | None = None
        self._on_progress = on_progress
        self._on_end = on_end
        self._cancel_reason = ""
        self._stage, self._fraction = "start", 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(SHOW_INTERVAL_MS)
        self._timer.connect("timeout()", self._show)

    def start(self, backend: PolledBackend, options: LocateOptions) -> None:
        """Ask, and watch.

        Raises
        ------
        InputError, BackendError
            When the volume cannot be used or the backend not be started; nothing is watched then.
        """
        self._backend = backend
        self._started_s = time.monotonic()
        volume = self.volume_input.to_volume()
        self._reading_warnings = volume.warnings
        self.job = backend.start_locate(volume, options, self._hear_progress, self._on_done)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_about_to_be_removed)
        self._timer.start()
        self._show()

    @property
    def is_cancelled(self) -> bool:
        """Whether :meth:`cancel` was called, by the user or because the volume went away."""
        return bool(self._cancel_reason)

    def cancel(self, reason: str = "Cancelled.") -> None:
        """Give up; ``on_end`` is called when the backend has, soon."""
        self._cancel_reason = self._cancel_reason or reason
        self._backend.cancel(self.job)

    def abandon(self) -> None:
        """Cancel and look no further; ``on_end`` is not called."""
        self._on_end = lambda run: None
        self._stop_watching()
        self.cancel()

    def result(self) -> LocateResult:
        """Return what was found.

        Raises
        ------
        Cancelled
            With the reason, when the run was cancelled.
        InputError
            When the volume changed meanwhile, so that the needles found are not its needles.
        Exception
            Whatever the backend says went wrong.
        """
        if self.is_cancelled:
            raise Cancelled(self._cancel_reason)
        result = self.job.result()
        if not self.volume_input.mark.still_describes(self.volume_node):
            raise InputError(
                f"{self.volume_node.GetName()} was changed or moved while needles were looked for; "
                "run again on what it is now."
            )
        return replace(result, warnings=(*self._reading_warnings, *result.warnings))

    def _hear_progress(self, stage: str, fraction: float) -> None:
        self._stage, self._fraction = stage, fraction

    def _show(self) -> None:
        if not self.is_cancelled:
            elapsed_s = time.monotonic() - self._started_s
            self._on_progress(RunState(self._stage, self._fraction, elapsed_s))

    def _on_done(self, job: Job) -> None:
        self._stop_watching()
        self._on_end(self)

    def _stop_watching(self) -> None:
        self._timer.stop()
        self.removeObservers()

    def _on_scene_start_close(self, caller: Any, event: str) -> None:
        self.cancel("Stopped, because the scene was closed.")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(self, caller: Any, event: str, node: Any) -> None:
        if node is self.volume_node:
            self.cancel("Stopped, because the volume was removed.")
