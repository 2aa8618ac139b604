"""Frames through OpenIGTLink: received from a scanner or Slicer, and sent as a scanner would."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.us.frames import SMALLEST_PX, Frame
from needle_backend.us.grey import GreyWindow, coloured_pixels, to_grey, window_of

if TYPE_CHECKING:
    import pyigtl

QUIET_S = 5.0
"""A stream that sends nothing for so long has ended."""
USUAL_PORT = 18944

_ADDRESS = re.compile(r"igtl://(?P<host>[^:/]+)(:(?P<port>\d+))?/(?P<device>[^/]+)")


@dataclass(frozen=True)
class StreamAddress:
    """Where images come from: an OpenIGTLink server and the name of one of its devices."""

    host: str
    port: int
    device: str

    def __str__(self) -> str:
        """Return it as users write it."""
        return f"igtl://{self.host}:{self.port}/{self.device}"


def parse_address(text: str) -> StreamAddress | None:
    """Read igtl://HOST:PORT/DEVICE; None when the text does not begin like one.

    Raises
    ------
    InputError
        When it begins so and goes on otherwise.
    """
    if not text.startswith("igtl:"):
        return None
    parts = _ADDRESS.fullmatch(text)
    port = int((parts and parts["port"]) or USUAL_PORT)
    if parts is None or not 0 < port < 65536:
        raise InputError(
            f"{text} is no stream; give igtl://HOST:PORT/DEVICE, as igtl://localhost:18944/Image."
        )
    return StreamAddress(parts["host"], port, parts["device"])


class ImageStream:
    """Grey frames of a stream; usable where a :class:`FrameSource` is, but each frame comes once.

    Frames that come while nobody asks for one are dropped but for the newest. Times are those of
    arrival. Going through it ends after ``seconds``, when it is stopped, or when nothing came for
    :data:`QUIET_S`.

    Attributes
    ----------
    name, fps, size, count, coloured
        As of a FrameSource; neither rate nor number of frames is known.
    """

    fps: float | None = None
    count: int | None = None

    def __init__(
        self, client: pyigtl.OpenIGTLinkClient, address: StreamAddress, seconds: float | None
    ) -> None:
        self.name = str(address)
        self._client = client
        self._device = address.device
        self._seconds = seconds
        self._is_stopped = False
        self._window: GreyWindow | None = None
        self._waiting: pyigtl.ImageMessage | None = None
        self._waiting = self._next_message()
        if self._waiting is None:
            raise InputError(
                f"{self.name} sent no image within {QUIET_S:.0f} s; is the server running, and "
                f"does it send images named {address.device}?"
            )
        first = _pixels(self._waiting, self.name)
        rows, columns = first.shape[:2]
        if min(rows, columns) < SMALLEST_PX:
            raise InputError(f"{self.name} has images of {columns} x {rows} pixels; too small.")
        self.size = columns, rows
        self.coloured = coloured_pixels(first)
        if first.dtype != np.uint8:
            self._window = window_of([to_grey(first, self.name)])

    def stop(self) -> None:
        """End going through the frames after the one at hand."""
        self._is_stopped = True

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames as they come.

        Raises
        ------
        InputError
            When they change size, or are none that can be used.
        """
        started_s = None
        for index in itertools.count():
            message = self._next_message()
            now_s = time.monotonic()
            started_s = now_s if started_s is None else started_s
            is_over = self._seconds is not None and now_s - started_s > self._seconds
            if message is None or is_over:
                return
            image = _pixels(message, self.name)
            if image.shape[1::-1] != self.size:
                raise InputError(
                    f"{self.name} changed its size from {self.size[0]} x {self.size[1]} pixels; "
                    "start again."
                )
            grey = to_grey(image, self.name)
            grey = grey if self._window is None else self._window.apply(grey)
            yield Frame(index, now_s - started_s, grey, _ijk_to_ras(message))

    def _next_message(self) -> pyigtl.ImageMessage | None:
        """Return the newest image's message; None when it was stopped or none came."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            return waiting
        deadline_s = time.monotonic() + QUIET_S
        while not self._is_stopped and time.monotonic() < deadline_s:
            message = self._client.wait_for_message(self._device, timeout=0.1)
            if message is not None:
                return message
        return None


def _pixels(message: pyigtl.ImageMessage, name: str) -> np.ndarray:
    """Return [row, column] or [row, column, channel], blue first, of a message."""
    image = getattr(message, "image", None)
    if image is None or image.ndim < 3:
        raise InputError(f"{name} sends no images; give the name of a device that does.")
    if image.shape[0] != 1:
        raise InputError(f"{name} sends volumes of {image.shape[0]} slices; 2D images are needed.")
    pixels = image[0]
    return pixels[..., ::-1] if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels


def _ijk_to_ras(message: pyigtl.ImageMessage) -> np.ndarray:
    is_lps = message.world_coordinate_system == "lps"
    return np.diag([-1.0, -1.0, 1.0, 1.0] if is_lps else np.ones(4)) @ message.ijk_to_world_matrix


@contextmanager
def open_stream(address: StreamAddress, seconds: float | None = None) -> Iterator[ImageStream]:
    """Connect to a server, and wait for its first image.

    Raises
    ------
    InputError
        When pyigtl is missing, or no image comes.
    """
    client = _pyigtl().OpenIGTLinkClient(address.host, address.port)
    try:
        yield ImageStream(client, address, seconds)
    finally:
        client.stop()


def send_stream(
    frames: Sequence[np.ndarray], fps: float, port: int, device: str, seconds: float | None = None
) -> Iterator[int]:
    """Send grey frames forth and back, as a server that a client may connect to at any time.

    Parameters
    ----------
    frames
        uint8 [row, column] each.
    fps
        Frames a second; a frame is left out while the client has yet to take the one before.
    port
        On this machine only.
    seconds
        How long; until it is interrupted by default.

    Yields
    ------
    int
        The number of frames sent so far, after each.

    Raises
    ------
    InputError
        When pyigtl is missing or the port is taken.
    """
    forth_and_back = [*frames, *frames[-2:0:-1]]
    with igtl_server(port) as (server, messages):
        started_s = time.monotonic()
        for number in itertools.count():
            due_s = number / fps
            if seconds is not None and due_s > seconds:
                return
            time.sleep(max(0.0, started_s + due_s - time.monotonic()))
            if server.is_connected() and not server.outgoing_messages:
                image = forth_and_back[number % len(forth_and_back)][None]
                message = messages.ImageMessage(image, device_name=device, timestamp=time.time())
                server.send_message(message, wait=False)
            yield number + 1


@contextmanager
def igtl_server(port: int) -> Iterator[tuple[pyigtl.OpenIGTLinkServer, ModuleType]]:
    """Run a server on this machine, and give pyigtl's messages besides.

    What pyigtl writes to stderr when a client leaves is silenced meanwhile, and the signal
    handlers that it installs are taken back.

    Raises
    ------
    InputError
        When pyigtl is missing or the port is taken.
    """
    messages = _pyigtl()
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        server = messages.OpenIGTLinkServer(port=port, local_server=True)
    except OSError as error:
        raise InputError(f"Port {port} cannot be used ({error.strerror}); give another.") from error
    for each, handler in handlers.items():
        signal.signal(each, handler)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            yield server, messages
    finally:
        server.stop()


def _pyigtl() -> ModuleType:
    try:
        import pyigtl
    except ModuleNotFoundError as error:
        raise InputError(
            "Streams need the package pyigtl; install the extra: "
            "pip install 'needle-backend[stream]'."
        ) from error
    logging.getLogger("pyigtl").setLevel(logging.CRITICAL)  # it logs what is told here, too
    return pyigtl
