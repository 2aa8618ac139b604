"""The backend process: ``python -m needle_backend.service.server``.

Three threads: the first one works (loads models, then does one task after another), one listens, so
that cancelling and the end of stdin are noticed during work, and one tells every second that the
process lives. Torch is imported by the work, after the hello.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from needle_backend import __version__
from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.core.needles import LocateOptions, as_point
from needle_backend.core.progress import Progress
from needle_backend.core.volume import Volume
from needle_backend.service import shared
from needle_backend.service.inbox import Inbox, Task
from needle_backend.service.protocol import Decoder, Message, ProtocolError, encode
from needle_backend.service.work import Work
from needle_backend.us.tips import TrackOptions

JOBS = frozenset(["info", "load", "locate", "score", "fit", "find_handle"])
PULSE_S = 1.0
PROGRESS_S = 0.05
READ_BYTES = 1 << 16


class Server:
    """Serves one client over a pair of pipes.

    Parameters
    ----------
    source, sink
        File descriptors that requests come from and answers go to.
    make_work
        Called once, after the hello; may take long.
    leave
        Called with an exit status when the client is gone or has said goodbye.
    """

    def __init__(
        self,
        source: int,
        sink: int,
        make_work: Callable[[], Work],
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._source = source
        self._sink = sink
        self._make_work = make_work
        self._leave = leave
        self._inbox = Inbox()
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._client_prefix: str | None = None
        self._volume: tuple[int, Volume] | None = None
        self._work: Work | None = None
        self._why_no_work = ""

    def run(self) -> None:
        """Serve until the client is gone."""
        self._send(Message("hello", 0, {"version": __version__, "pid": os.getpid()}))
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        threading.Thread(target=self._tell_life, daemon=True).start()
        self._prepare_work()
        while (task := self._inbox.take()) is not None:
            self._perform(task)
        listener.join()

    # Listening

    def _listen(self) -> None:
        decoder = Decoder()
        status = 0
        try:
            while not self._ended.is_set() and (data := os.read(self._source, READ_BYTES)):
                for message in decoder.feed(data):
                    self._receive(message)
        except ProtocolError as error:
            self._send_error(0, BackendError(f"The connection is unusable: {error}."))
            status = 2
        except OSError:
            status = 1
        self._end(status)

    def _end(self, status: int) -> None:
        self._ended.set()
        self._inbox.close()
        if self._client_prefix is not None:
            shared.remove_leftovers(self._client_prefix)
        self._leave(status)

    def _receive(self, message: Message) -> None:
        try:
            if message.kind == "hello":
                self._greet(message)
            elif self._client_prefix is None:
                raise ProtocolError("the first request is a hello")
            else:
                self._accept(message)
        except (ProtocolError, BackendError) as error:
            self._send_error(message.id, error)

    def _greet(self, message: Message) -> None:
        if self._client_prefix is not None:
            raise BackendError("This backend already serves a client; start another one.")
        version, prefix = message.fields.get("version"), message.fields.get("prefix")
        if version != __version__:
            raise BackendError(
                f"The backend has version {__version__} and is asked by version {version}; "
                "install both from the same release."
            )
        if not isinstance(prefix, str):
            raise ProtocolError("a hello tells the prefix of the shared memory")
        self._client_prefix = prefix

    def _accept(self, message: Message) -> None:
        match message.kind:
            case "volume":
                array = self._take_shared(message)
                self._volume = message.id, as_volume(array, message.fields)
            case "track":
                frame = self._take_shared(message)
                replaced = self._inbox.put_frame(Task(message, frame=frame))
                if replaced is not None:
                    self._send(Message("dropped", replaced.id, dict(replaced.fields)))
            case "cancel":
                waiting = self._inbox.cancel(message.fields.get("job"))
                if waiting is not None:
                    self._send_error(waiting.id, Cancelled("cancelled"))
            case "shutdown":
                self._ended.set()
            case kind if kind in JOBS:
                self._inbox.put_job(Task(message, volume=self._volume_of(message)))
            case kind:
                raise ProtocolError(f"there is no request {kind!r}")

    def _take_shared(self, message: Message) -> np.ndarray:
        try:
            return shared.take(message.fields.get("shared"))
        finally:
            self._send(Message("taken", message.id))

    def _volume_of(self, message: Message) -> Volume | None:
        if "volume" not in message.fields:
            return None
        if self._volume is None or self._volume[0] != message.fields["volume"]:
            raise BackendError("The backend no longer has this volume; send it again.")
        return self._volume[1]

    # Working

    def _prepare_work(self) -> None:
        try:
            work = self._make_work()
            info = work.info()
        except Exception as error:
            traceback.print_exc()
            self._why_no_work = f"The backend cannot work here: {in_words(error)[1]}"
            self._send(Message("ready", 0, {"info": {}, "problem": self._why_no_work}))
        else:
            self._work = work
            self._send(Message("ready", 0, {"info": info}))

    def _perform(self, task: Task) -> None:
        try:
            task.cancel.raise_if_cancelled()
            if self._work is None:
                raise BackendError(self._why_no_work)
            self._send(self._do(self._work, task))
        except Exception as error:
            if not isinstance(error, Cancelled | InputError | BackendError | ProtocolError):
                traceback.print_exc()
            self._send_error(task.id, error)

    def _do(self, work: Work, task: Task) -> Message:
        fields = task.fields
        match task.message.kind:
            case "info":
                return Message("result", task.id, work.info())
            case "load":
                info = work.load(fields.get("weights"), fields.get("device", "auto"))
                return Message("result", task.id, info)
            case "locate":
                options = LocateOptions(**fields.get("options", {}))
                progress = self._progress_of(task.id)
                result = work.locate(task_volume(task), options, progress, task.cancel)
                return Message("result", task.id, result.to_dict())
            case "score":
                lines = task_array(task, "lines_lps", (-1, 2, 3))
                scores = work.score(task_volume(task), lines)
                return Message("result", task.id, {}, {"scores": np.asarray(scores)})
            case "fit":
                line = work.fit(
                    task_volume(task),
                    task_array(task, "line_lps", (2, 3)),
                    task_array(task, "others_lps", (-1, 2, 3)),
                    LocateOptions(**fields.get("options", {})),
                )
                return Message("result", task.id, {}, {"line_lps": np.asarray(line)})
            case "find_handle":
                line = work.find_handle(
                    task_volume(task),
                    task_array(task, "tip_lps", (3,)),
                    task_array(task, "handles_lps", (-1, 3)),
                    task_array(task, "others_lps", (-1, 2, 3)),
                    LocateOptions(**fields.get("options", {})),
                )
                return Message("result", task.id, {}, {"line_lps": np.asarray(line)})
            case _:  # a frame
                options = TrackOptions(**fields.get("options", {}))
                answer = work.track(task.frame, float(fields.get("time_s", 0.0)), options)
                of_frame = {name: fields.get(name) for name in ("frame", "time_s")}
                dropped = {"dropped": self._inbox.dropped}
                return Message("result", task.id, {**answer, **of_frame, **dropped})

    def _progress_of(self, request: int) -> Progress:
        """Return a progress callback that sends each stage's start and not more than needed."""
        last_stage, last_time = "", 0.0

        def progress(stage: str, fraction: float) -> None:
            nonlocal last_stage, last_time
            now = time.monotonic()
            if stage != last_stage or now - last_time >= PROGRESS_S:
                last_stage, last_time = stage, now
                self._send(Message("progress", request, {"stage": stage, "fraction": fraction}))

        return progress

    # Sending

    def _tell_life(self) -> None:
        while not self._ended.wait(PULSE_S):
            self._send(Message("pulse"))

    def _send_error(self, request: int, error: Exception) -> None:
        kind, sentence = in_words(error)
        self._send(Message("error", request, {"error": kind, "message": sentence}))

    def _send(self, message: Message) -> None:
        data = memoryview(encode(message))
        with self._sending, contextlib.suppress(OSError):  # a vanished client ends stdin as well
            while data:
                data = data[os.write(self._sink, data) :]


def as_volume(array: np.ndarray, fields: dict[str, Any]) -> Volume:
    """Make a volume of a ``volume`` request; raises ProtocolError when it is none."""
    try:
        spacing, origin = as_point(fields["spacing_mm"]), as_point(fields["origin_lps"])
        warnings = tuple(str(warning) for warning in fields.get("warnings", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(
            "a volume has a spacing_mm and an origin_lps of three numbers"
        ) from error
    if array.ndim != 3 or not all(step > 0 for step in spacing):
        raise ProtocolError("a volume has three dimensions and a positive spacing")
    return Volume(array, spacing, origin, str(fields.get("source", "")), warnings)


def task_volume(task: Task) -> Volume:
    """Return the volume a task needs; raises ProtocolError when it names none."""
    if task.volume is None:
        raise ProtocolError(f"{task.message.kind} names no volume")
    return task.volume


def task_array(task: Task, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array that a task brings, -1 for any size; raises ProtocolError if it does not."""
    array = task.message.arrays.get(name)
    wanted = ", ".join("n" if size < 0 else str(size) for size in shape)
    if array is None or array.ndim != len(shape):
        raise ProtocolError(f"{task.message.kind} has no {name} of shape ({wanted})")
    if any(size not in (-1, got) for size, got in zip(shape, array.shape, strict=True)):
        raise ProtocolError(f"{task.message.kind} has no {name} of shape ({wanted})")
    return array


def in_words(error: Exception) -> tuple[str, str]:
    """Return the protocol's name for an error and a sentence for the user."""
    match error:
        case Cancelled():
            return "cancelled", "cancelled"
        case InputError():
            return "input", str(error)
        case ProtocolError():
            return "backend", f"The backend cannot do what it was asked: {error}."
        case BackendError():
            return "backend", str(error)
        case ImportError():
            return "backend", f"A Python package is missing or broken ({error})."
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "backend", (
            "The memory of the computing device is full; close other programs that use it, or "
            "choose the CPU as device, and try again."
        )
    return "backend", f"The backend failed unexpectedly ({type(error).__name__}: {error})."


def keep_pipes() -> tuple[int, int]:
    """Return the process' own stdin and stdout, out of reach of whatever a library prints."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def named(path: str) -> Any:
    """Return the object that "package.module:name" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def main() -> None:
    """Serve on stdin and stdout until they end."""
    parser = argparse.ArgumentParser(description="The backend process of NeedleGuide.")
    parser.add_argument(
        "--work",
        default="needle_backend.service.work:NeedleWork",
        help="module:class doing the work",
    )
    arguments = parser.parse_args()
    source, sink = keep_pipes()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which then says so
    Server(source, sink, lambda: named(arguments.work)()).run()
    sys.exit(0)


if __name__ == "__main__":
    main()
