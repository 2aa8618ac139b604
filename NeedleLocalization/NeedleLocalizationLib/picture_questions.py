"""What is asked about a volume's picture: the volume is sent to the backend when it lacks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer import vtkMRMLScalarVolumeNode

from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.service.job import Job
from NeedleLocalizationLib.polled_backend import PolledBackend
from NeedleLocalizationLib.volume_input import VolumeInput, VolumeMark

Question = Callable[[PolledBackend, Job, Callable[[Job], None]], Job]
"""Asks a backend about the volume of a job; the callback gets the job of the question."""


class PictureQuestions:
    """Asks one backend about the volumes of the scene.

    Parameters
    ----------
    backend
        Returns what to ask, or None while asking makes no sense.
    on_failed
        Called with a sentence when there will be no answer.
    """

    def __init__(
        self, backend: Callable[[], PolledBackend | None], on_failed: Callable[[str], None]
    ) -> None:
        self._backend = backend
        self._on_failed = on_failed
        self._sent: tuple[Job, VolumeMark] | None = None

    def volume_was_sent(self, job: Job, mark: VolumeMark) -> None:
        """Remember that a localization has sent its volume."""
        self._sent = job, mark

    def ask(
        self, node: vtkMRMLScalarVolumeNode, question: Question, take: Callable[[Any], None]
    ) -> bool:
        """Ask about a volume; ``take`` gets the answer later, unless the volume is gone by then.

        Returns
        -------
        bool
            Whether there will be an answer, or else a sentence why not.
        """

        def on_done(job: Job) -> None:
            try:
                answer = job.result()
            except Cancelled:
                return
            except (InputError, BackendError) as error:
                self._on_failed(str(error))
                return
            if slicer.mrmlScene.IsNodePresent(node):
                take(answer)

        try:
            backend = self._backend()
            if backend is None:
                return False
            question(backend, self._volume_in(backend, node), on_done)
        except (InputError, BackendError) as error:
            self._on_failed(str(error))
            return False
        return True

    def _volume_in(self, backend: PolledBackend, node: vtkMRMLScalarVolumeNode) -> Job:
        if self._sent is not None:
            job, mark = self._sent
            if mark.still_describes(node) and backend.has_volume_of(job):
                return job
        volume_input = VolumeInput.from_node(node)
        job = backend.send_volume(volume_input.to_volume())
        self._sent = job, volume_input.mark
        return job
