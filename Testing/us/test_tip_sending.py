"""Tips are sent on through OpenIGTLink: a peer of another library hears state and place."""

from __future__ import annotations

import time

import numpy as np
import pytest

from needle_backend.us.frames import Frame
from needle_backend.us.tip_sending import DEVICE, tip_server
from needle_backend.us.tips import DETECTED, LOST, PREDICTED, FrameAnswer, Tip

pyigtl = pytest.importorskip("pyigtl")

TIP = Tip(30.0, 20.0, 36.0, 20.0, 0.834)
IMAGE = np.zeros((48, 64), np.uint8)
IJK_TO_RAS = np.array(
    [[0.5, 0.0, 0.0, 10.0], [0.0, 0.0, 1.0, -4.0], [0.0, -0.5, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]]
)


@pytest.fixture
def hear(port):
    """Send one answer after the other, each until a client has heard it; return what it heard."""
    with tip_server(port) as send:
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)

        def send_and_hear(answer, ijk_to_ras=None):
            heard, deadline_s = None, time.monotonic() + 10
            while (
                heard is None or heard.names != [answer.state]
            ) and time.monotonic() < deadline_s:
                send(Frame(answer.frame, answer.time_s, IMAGE, ijk_to_ras), answer)
                heard = client.wait_for_message(DEVICE, timeout=0.05) or heard
            return heard

        yield send_and_hear
        client.stop()


def test_a_tip_is_a_point_where_the_stream_says_that_it_lies(hear):
    heard = hear(FrameAnswer(0, 0.0, DETECTED, TIP), IJK_TO_RAS)
    assert (heard.message_type, heard.names, heard.groups) == ("POINT", [DETECTED], ["0.83"])
    assert heard.positions[0] == pytest.approx((25.0, -4.0, -3.0))


def test_where_frames_do_not_say_where_they_lie_it_is_in_pixels(hear):
    assert hear(FrameAnswer(0, 0.0, PREDICTED, TIP)).positions[0] == pytest.approx((30, 20, 0))


def test_a_tip_that_is_lost_is_said_to_be_and_transparent(hear):
    assert hear(FrameAnswer(0, 0.0, DETECTED, TIP)).rgba_colors[0][3] == 255
    heard = hear(FrameAnswer(1, 0.1, LOST, None))
    assert (heard.names, heard.groups, heard.rgba_colors[0][3]) == ([LOST], ["0.00"], 0)
    assert heard.positions[0] == pytest.approx((30, 20, 0))
