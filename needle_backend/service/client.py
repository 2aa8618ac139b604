"""The side of the backend process that lives in the Slicer window: no torch, no Qt, no threads.

Everything happens in :meth:`BackendClient.poll`, called by a timer in Slicer and by a loop
elsewhere. It reads what has arrived, calls the callbacks, and notices that the process died or
hangs. The process is started by the first request, and again by the next one after it was lost.

>>> with BackendClient() as client:  # doctest: +SKIP
...     job = client.start_locate(volume, LocateOptions())
...     while not job.done:
...         client.poll()
...     needles = job.result().needles
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from needle_backend import __version__
from needle_backend.core.errors import BackendError, Cancelled
from needle_backend.core.needles import LocateOptions, LocateResult, as_point
from needle_backend.core.progress import CancelToken, Progress, no_progress
from needle_backend.core.volume import Volume
from needle_backend.service.child import Child, has_ended
from needle_backend.service.job import (
    FrameDropped,
    Job,
    ignore,
    read_line,
    read_locate_result,
    read_scores,
)
from needle_backend.service.patience import DEFAULT_PATIENCE, Patience
from needle_backend.service.protocol import Decoder, Message, ProtocolError, encode
from needle_backend.service.shared import Outbox
from needle_backend.us.tips import TrackOptions

SERVER = ("needle_backend.service.server",)
MAX_UNTAKEN = 2
WAIT_S = 0.005
DEFAULT_TRACK_OPTIONS = TrackOptions()


@dataclass(frozen=True)
class HeldFrame:
    """The newest frame, while the backend has not taken the ones before."""

    job: Job
    frame: np.ndarray
    fields: dict[str, Any]


class BackendClient:
    """Asks things of the backend process; also a Localizer (:mod:`needle_backend.ct.localize`).

    Used from one thread. :meth:`close` it at the end, or use it in a ``with`` statement.

    Parameters
    ----------
    python
        The interpreter to start the process with; in Slicer the path of PythonSlicer.
    patience
        When to give the process up.
    server
        The server's module and its arguments.

    Attributes
    ----------
    worker_pid
        The interpreter's process number; None while no process runs or it has not said hello.
    server_info
        What the process told of itself (device, versions, weights) once it was ready, else None.
    """

    def __init__(
        self,
        python: Sequence[str] = (sys.executable,),
        patience: Patience = DEFAULT_PATIENCE,
        server: Sequence[str] = SERVER,
    ) -> None:
        self._python = tuple(python)
        self._patience = patience
        self._server = tuple(server)
        self._numbers = itertools.count(1)
        self._lost: deque[tuple[Job, Exception]] = deque()
        self._begin_without_child()

    def _begin_without_child(self) -> None:
        self.worker_pid: int | None = None
        self.server_info: dict[str, Any] | None = None
        self._child: Child | None = None
        self._decoder = Decoder()
        self._unread: deque[Message] = deque()
        self._outbox = Outbox()
        self._jobs: dict[int, Job] = {}
        self._held: HeldFrame | None = None
        self._volume_id: int | None = None
        self._started_at = self._heard_at = self._answered_at = 0.0

    def __enter__(self) -> BackendClient:
        """Return the client itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the process."""
        self.close()

    # Requests

    def start(self) -> None:
        """Start the process if it does not run; raises BackendError when that fails."""
        self.poll()
        if self._child is not None:
            return
        try:
            self._child = Child(self._python, self._server)
        except OSError as error:
            raise BackendError(
                f"The backend cannot be started with {self._python[0]} ({error.strerror})."
            ) from error
        self._started_at = self._heard_at = time.monotonic()
        self._tell(Message("hello", 0, {"version": __version__, "prefix": self._outbox.prefix}))

    def start_info(self, on_done: Callable[[Job], None] = ignore) -> Job:
        """Ask for versions, device and weights; the result is a dict."""
        self.start()
        return self._ask(Job(next(self._numbers), "info", on_done=on_done), {})

    def start_load(
        self, weights: str | None, device: str, on_done: Callable[[Job], None] = ignore
    ) -> Job:
        """Have weights read before they are needed; the result is that of :meth:`start_info`."""
        job = Job(next(self._numbers), "load", on_done=on_done)
        self.start()
        return self._ask(job, {"weights": weights, "device": device})

    def start_locate(
        self,
        volume: Volume,
        options: LocateOptions,
        on_progress: Progress = no_progress,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Start finding the needles of a CT; the result is a LocateResult."""
        job = Job(next(self._numbers), "locate", read_locate_result, on_progress, on_done)
        self._send_volume(job, volume)
        return self._ask(job, {"volume": job.id, "options": asdict(options)})

    def send_volume(self, volume: Volume) -> Job:
        """Give the process a CT to score lines on; the job is done, and stands for the volume."""
        job = Job(next(self._numbers), "volume")
        self._send_volume(job, volume)
        job.finish(None)
        return job

    def _send_volume(self, job: Job, volume: Volume) -> None:
        self.start()
        placement = {
            "shared": self._outbox.put(job.id, volume.array),
            "spacing_mm": as_point(volume.spacing_mm),
            "origin_lps": as_point(volume.origin_lps),
            "source": volume.source,
            "warnings": volume.warnings,
        }
        self._tell(Message("volume", job.id, placement))
        self._volume_id = job.id

    def has_volume_of(self, job: Job) -> bool:
        """Tell whether the process runs and a job's volume is the newest that it was given."""
        self.poll()
        return self._volume_id == job.id

    def start_score(
        self, located: Job, lines_lps: np.ndarray, on_done: Callable[[Job], None] = ignore
    ) -> Job:
        """Score lines (n, 2, 3), tip and handle in LPS mm, on the newest volume.

        ``located`` is the job that brought the volume. The result is an array (n,).
        """
        job = Job(next(self._numbers), "score", read_scores, on_done=on_done)
        lines = {"lines_lps": np.asarray(lines_lps, np.float64)}
        self.start()
        return self._ask(job, {"volume": located.id}, lines)

    def start_fit(
        self,
        located: Job,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Lay a line (2, 3) onto the shaft beside it; ``others_lps`` (n, 2, 3) are other needles.

        ``located`` is the job that brought the newest volume; ``options`` name the weights. The
        result is an array (2, 3).
        """
        job = Job(next(self._numbers), "fit", read_line, on_done=on_done)
        self.start()
        arrays = {"line_lps": line_lps, "others_lps": np.reshape(others_lps, (-1, 2, 3))}
        fields = {"volume": located.id, "options": asdict(options)}
        return self._ask(job, fields, _as_floats(arrays))

    def start_find_handle(
        self,
        located: Job,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
        on_done: Callable[[Job], None] = ignore,
    ) -> Job:
        """Find the handle of a tip (3,); ``handles_lps`` (n, 3) are known to be free.

        ``located`` and ``others_lps`` are as in :meth:`start_fit`; ``options`` tell the lengths.
        The result is an array (2, 3), the tip first.
        """
        job = Job(next(self._numbers), "find_handle", read_line, on_done=on_done)
        self.start()
        arrays = {
            "tip_lps": tip_lps,
            "handles_lps": np.reshape(handles_lps, (-1, 3)),
            "others_lps": np.reshape(others_lps, (-1, 2, 3)),
        }
        fields = {"volume": located.id, "options": asdict(options)}
        return self._ask(job, fields, _as_floats(arrays))

    def start_track(
        self,
        frame: np.ndarray,
        number: int,
        time_s: float,
        on_done: Callable[[Job], None] = ignore,
        options: TrackOptions = DEFAULT_TRACK_OPTIONS,
    ) -> Job:
        """Ask for the tip in a grey uint8 frame [row, column].

        The result is a dict that :meth:`FrameAnswer.from_dict` reads, and holds besides ``dropped``
        (frames dropped so far), ``seconds``, ``device``, ``weights`` and ``warnings``.

        The backend looks at the newest frame only; the jobs of others end as FrameDropped.
        """
        job = Job(next(self._numbers), "track", on_done=on_done)
        self.start()
        fields = {"frame": number, "time_s": time_s, "options": asdict(options)}
        held, self._held = self._held, HeldFrame(job, np.array(frame), fields)
        if held is not None:
            held.job.finish(FrameDropped("a newer frame came"))
        self._send_held_frame()
        return job

    def _send_held_frame(self) -> None:
        """Send the newest frame, unless the backend has yet to take the ones before."""
        if self._held is None or len(self._outbox) >= MAX_UNTAKEN:
            return
        held, self._held = self._held, None
        try:
            shared = self._outbox.put(held.job.id, held.frame)
        except BackendError as error:
            held.job.finish(error)
            return
        self._ask(held.job, {"shared": shared, **held.fields})

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Find the needles of a CT and wait for them.

        Raises
        ------
        InputError, BackendError, Cancelled
            When there is no result.
        """
        job = self.start_locate(volume, options, progress)
        while not job.done:
            if cancel.is_cancelled:
                self.cancel(job)
            self.poll()
            time.sleep(WAIT_S)
        return job.result()

    def cancel(self, job: Job) -> None:
        """Give a job up; it is done within half a second, if need be by ending the process."""
        if job.id in self._jobs and job.cancelled_at is None:
            job.cancelled_at = time.monotonic()
            self._tell(Message("cancel", 0, {"job": job.id}))

    def close(self) -> None:
        """End the process; jobs at hand end as cancelled."""
        if self._child is not None:
            self._tell(Message("shutdown"))
            self._lose_child(lambda job, how: Cancelled("the backend was closed"), patience_s=1.0)

    def _ask(
        self, job: Job, fields: dict[str, Any], arrays: dict[str, np.ndarray] | None = None
    ) -> Job:
        if not self._jobs:
            self._answered_at = time.monotonic()
        self._jobs[job.id] = job
        self._tell(Message(job.kind, job.id, fields, arrays or {}))
        return job

    def _tell(self, message: Message) -> None:
        self._child.send(encode(message))

    # What happens from time to time

    def poll(self) -> None:
        """Read answers, call callbacks, notice trouble. A callback's exception is passed on."""
        self._tell_lost_jobs()
        child = self._child
        if child is None:
            return
        child.flush()
        # Asked before reading: what it wrote before it died is in the pipe by then.
        is_dead = self.worker_pid is not None and has_ended(self.worker_pid)
        arrived = child.receive()
        if arrived:
            self._heard_at = time.monotonic()
        try:
            self._unread.extend(self._decoder.feed(arrived or b""))
        except ProtocolError as error:
            self._fail(f"The backend sent something unreadable ({error}).")
            return
        while self._unread:
            self._receive(self._unread.popleft())
        if self._child is not child:
            return
        if arrived is None or (is_dead and not arrived):
            self._fail("The backend stopped unexpectedly.", patience_s=1.0)
            return
        self._send_held_frame()
        self._check_patience()

    def _receive(self, message: Message) -> None:
        match message.kind:
            case "hello":
                self._greet(message)
            case "ready":
                self.server_info = message.fields.get("info")
                self._answered_at = time.monotonic()
            case "taken":
                self._outbox.taken(message.id)
            case "progress":
                self._answered_at = time.monotonic()
                if job := self._jobs.get(message.id):
                    job.hear(message)
            case "result" | "error" | "dropped":
                if message.kind != "dropped":
                    self._answered_at = time.monotonic()
                if job := self._jobs.pop(message.id, None):
                    job.hear(message)

    def _greet(self, message: Message) -> None:
        version, pid = message.fields.get("version"), message.fields.get("pid")
        if version != __version__:
            self._fail(f"The backend has version {version}; this module needs {__version__}.")
        elif type(pid) is int and pid > 1:
            self.worker_pid = pid
            self._answered_at = time.monotonic()

    def _check_patience(self) -> None:
        now, patience = time.monotonic(), self._patience
        jobs = self._jobs.values()
        only_frames = self.server_info is not None and all(job.kind == "track" for job in jobs)
        if any(now - (job.cancelled_at or now) > patience.cancel_s for job in jobs):
            self._fail("The backend was ended because another job, now cancelled, did not stop.")
        elif self.worker_pid is None:
            if now - self._started_at > patience.start_s:
                self._fail("The backend did not start in time.")
        elif not jobs:
            return
        elif now - self._heard_at > patience.silence_s:
            self._fail("The backend hung: it gave no sign of life.")
        elif now - self._answered_at > (patience.frame_s if only_frames else patience.job_s):
            self._fail("The backend hung: it made no progress.")

    def _fail(self, what_happened: str, patience_s: float = 0.0) -> None:
        def why(job: Job, how_it_ended: str) -> Exception:
            if job.cancelled_at is not None:
                return Cancelled("cancelled")
            return BackendError(
                f"{what_happened} {how_it_ended} Nothing was changed; try again, a new one starts."
            )

        self._lose_child(why, patience_s)

    def _lose_child(self, why: Callable[[Job, str], Exception], patience_s: float) -> None:
        """End the process, free everything that belonged to it, then tell whoever waits."""
        child, outbox, pid = self._child, self._outbox, self.worker_pid
        jobs = list(self._jobs.values()) + ([self._held.job] if self._held else [])
        self._begin_without_child()
        how_it_ended = child.end(pid, patience_s)
        outbox.clear()
        self._lost.extend((job, why(job, how_it_ended)) for job in jobs)
        self._tell_lost_jobs()

    def _tell_lost_jobs(self) -> None:
        while self._lost:
            job, error = self._lost.popleft()
            job.finish(error)


def _as_floats(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}
