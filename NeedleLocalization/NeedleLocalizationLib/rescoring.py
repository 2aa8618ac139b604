"""Asks the backend how well the picture fits needles that a person placed or moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from slicer import vtkMRMLScalarVolumeNode

from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.service.job import Job
from NeedleLocalizationLib.needle_nodes import needle_from_node, needle_node
from NeedleLocalizationLib.polled_backend import PolledBackend
from NeedleLocalizationLib.review import Review
from NeedleLocalizationLib.volume_input import VolumeInput, VolumeMark


class Rescoring:
    """Sends a volume when the backend does not have it, and lines whenever they change.

    Parameters
    ----------
    backend
        Returns what to ask, or None while asking makes no sense.
    on_scored
        Called when a review has taken a score.
    on_failed
        Called with a sentence when there will be no score.
    """

    def __init__(
        self,
        backend: Callable[[], PolledBackend | None],
        on_scored: Callable[[Review], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._backend = backend
        self._on_scored = on_scored
        self._on_failed = on_failed
        self._sent: tuple[Job, VolumeMark] | None = None

    def volume_was_sent(self, job: Job, mark: VolumeMark) -> None:
        """Remember that a localization has sent its volume."""
        self._sent = job, mark

    def ask(self, review: Review, uid: str) -> None:
        """Ask for one needle's score; the review gets it later."""
        node = needle_node(review.volume_node, uid)
        if node is None:
            return
        needle = needle_from_node(node)
        ends_ras = review.implant[uid].ends_ras

        def take(job: Job) -> None:
            try:
                (log_odds,) = job.result()
            except Cancelled:
                return
            except (InputError, BackendError) as error:
                self._on_failed(str(error))
                return
            review.take_score(uid, ends_ras, float(log_odds))
            self._on_scored(review)

        try:
            backend = self._backend()
            if backend is None:
                return
            sent = self._volume_in(backend, review.volume_node)
            lines_lps = np.array([[needle.tip_lps, needle.handle_lps]])
            backend.start_score(sent, lines_lps, take)
        except (InputError, BackendError) as error:
            self._on_failed(str(error))

    def _volume_in(self, backend: PolledBackend, node: vtkMRMLScalarVolumeNode) -> Job:
        if self._sent is not None:
            job, mark = self._sent
            if mark.still_describes(node) and backend.has_volume_of(job):
                return job
        volume_input = VolumeInput.from_node(node)
        job = backend.send_volume(volume_input.to_volume())
        self._sent = job, volume_input.mark
        return job
