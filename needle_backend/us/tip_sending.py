"""The tip, sent on through OpenIGTLink to whoever connects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from needle_backend.us.frames import Frame
from needle_backend.us.stream import igtl_server
from needle_backend.us.tips import DETECTED, LOST, PREDICTED, FrameAnswer

DEVICE = "NeedleTip"
COLOURS = {DETECTED: (80, 255, 80, 255), PREDICTED: (255, 215, 0, 255), LOST: (255, 80, 80, 0)}
"""Red, green, blue and opacity by state: a tip that is lost is not to be seen."""


@contextmanager
def tip_server(port: int) -> Iterator[Callable[[Frame, FrameAnswer], None]]:
    """Serve tips on this machine; each is a POINT message of the device :data:`DEVICE`.

    The point's name is the state, its group the confidence. It lies in the stream's own RAS mm,
    or, where frames do not say where they lie, at column, row and 0. Messages have no word for a
    tip that is lost: the point is then transparent, and stays where it was last.

    Yields
    ------
    collections.abc.Callable
        To be called with each frame and its answer; one that the client has no time for is left
        out.

    Raises
    ------
    InputError
        When pyigtl is missing or the port is taken.
    """
    last = np.zeros(3)

    with igtl_server(port) as (server, messages):

        def send(frame: Frame, answer: FrameAnswer) -> None:
            nonlocal last
            if answer.tip is not None:
                last = frame.to_world(answer.tip.x, answer.tip.y)
            if not server.is_connected() or server.outgoing_messages:
                return
            confidence = 0.0 if answer.tip is None else answer.tip.confidence
            point = messages.PointMessage(
                positions=last,
                names=answer.state,
                groups=f"{confidence:.2f}",
                rgba_colors=COLOURS[answer.state],
                timestamp=time.time(),
                device_name=DEVICE,
            )
            server.send_message(point, wait=False)

        yield send
