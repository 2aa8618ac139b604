"""One localization from Apply to its end, watched from the window's own thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.util import VTKObservationMixin

from needle_backend.core.errors import Cancelled, InputError
from needle_backend.core.needles import LocateResult
from NeedleLocalizationLib.job import Job, JobState
from NeedleLocalizationLib.volume_input import VolumeInput

POLL_INTERVAL_MS = 20
# While Qt waits for events the window's thread may keep Python's lock to itself, and a Python
# thread stands still; each poll therefore waits a moment, which hands the lock over.
HAND_OVER_S = 0.04


class LocalizationRun(VTKObservationMixin):
    """Polls a job, and cancels it when its volume or the scene goes away.

    Parameters
    ----------
    volume_node, volume_input
        The volume that is worked on, and what was copied from it.
    job
        Not started yet.
    on_progress
        Called with the job's state at the start and at every poll.
    on_end
        Called once with this run when the job has ended, unless the run was abandoned.
    """

    def __init__(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        volume_input: VolumeInput,
        job: Job,
        on_progress: Callable[[JobState], None],
        on_end: Callable[[LocalizationRun], None],
    ) -> None:
        super().__init__()
        self.volume_node = volume_node
        self._volume_input = volume_input
        self._job = job
        self._on_progress = on_progress
        self._on_end = on_end
        self._cancel_reason = ""
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    def start(self) -> None:
        """Start the job and watching it."""
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_about_to_be_removed)
        self._job.start()
        self._timer.start()
        self._on_progress(self._job.state)

    @property
    def is_cancelled(self) -> bool:
        """Whether :meth:`cancel` was called, by the user or because the volume went away."""
        return bool(self._cancel_reason)

    def cancel(self, reason: str = "Cancelled.") -> None:
        """Ask the job to stop; ``on_end`` is called when it has."""
        self._cancel_reason = self._cancel_reason or reason
        self._job.cancel()

    def abandon(self) -> None:
        """Cancel and look no further; ``on_end`` is not called."""
        self.cancel()
        self._stop_watching()

    def result(self) -> LocateResult:
        """Return the finished job's result.

        Raises
        ------
        Cancelled
            With the reason, when the run was cancelled.
        InputError
            When the volume changed meanwhile, so that the needles found are not its needles.
        Exception
            Whatever the work raised.
        """
        if self.is_cancelled:
            raise Cancelled(self._cancel_reason)
        result = self._job.result()
        if not self._volume_input.still_describes(self.volume_node):
            raise InputError(
                f"{self.volume_node.GetName()} was changed or moved while needles were looked for; "
                "run again on what it is now."
            )
        return result

    def _poll(self) -> None:
        if self._job.wait(HAND_OVER_S):
            self._stop_watching()
            self._on_end(self)
        elif not self.is_cancelled:
            self._on_progress(self._job.state)

    def _stop_watching(self) -> None:
        self._timer.stop()
        self.removeObservers()

    def _on_scene_start_close(self, caller: Any, event: str) -> None:
        self.cancel("Stopped, because the scene was closed.")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(self, caller: Any, event: str, node: Any) -> None:
        if node is self.volume_node:
            self.cancel("Stopped, because the volume was removed.")
