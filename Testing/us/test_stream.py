"""Frames are received through OpenIGTLink, and sent as a scanner would."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us import stream
from needle_backend.us.stream import StreamAddress, open_stream, parse_address, send_stream

pyigtl = pytest.importorskip("pyigtl")

FRAMES = [np.full((48, 64), 10 * number, np.uint8) for number in range(1, 9)]


@pytest.fixture
def server(port):
    """A plain pyigtl server that sends images again and again, and can be told which."""
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    images, ended = [FRAMES[0][None]], threading.Event()

    def send():
        for number in itertools.count():
            if ended.wait(0.01):
                return
            if peer.is_connected() and images:
                image = images[number % len(images)]
                message = pyigtl.ImageMessage(image, device_name="Probe")
                peer.send_message(message, wait=False)

    thread = threading.Thread(target=send)
    thread.start()
    yield images
    ended.set()
    thread.join()
    peer.stop()


def address(port, device="Probe"):
    return StreamAddress("127.0.0.1", port, device)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("igtl://localhost:18945/Image", StreamAddress("localhost", 18945, "Image")),
        ("igtl://10.0.0.7/Image_Probe", StreamAddress("10.0.0.7", 18944, "Image_Probe")),
        ("recordings/igtl.mp4", None),
    ],
)
def test_addresses_are_told_from_files(text, parsed):
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    "text", ["igtl:/host:1/x", "igtl://host:1", "igtl://host:x/y", "igtl://host:99999/y"]
)
def test_half_an_address_is_refused(text):
    with pytest.raises(InputError, match="igtl://HOST:PORT/DEVICE"):
        parse_address(text)


def test_frames_arrive_with_the_time_of_their_arrival(server, port):
    server[:] = [frame[None] for frame in FRAMES]
    with open_stream(address(port)) as source:
        assert (source.size, source.count, source.fps) == ((64, 48), None, None)
        frames = list(itertools.islice(source, 5))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(a.time_s < b.time_s for a, b in itertools.pairwise(frames))
    assert all(int(frame.image[0, 0]) in range(10, 90, 10) for frame in frames)


def test_a_stream_ends_after_the_seconds_asked_for(server, port):
    with open_stream(address(port), seconds=0.3) as source:
        assert 0 < list(source)[-1].time_s <= 0.3


def test_a_stream_that_falls_silent_ends(server, port, monkeypatch):
    monkeypatch.setattr(stream, "QUIET_S", 1.0)
    with open_stream(address(port)) as source:
        server.clear()
        assert len(list(source)) >= 1


def test_colours_turn_grey(server, port):
    red = np.zeros((1, 48, 64, 3), np.uint8)
    red[..., 0] = 200
    server[:] = [red]
    with open_stream(address(port)) as source:
        assert source.coloured.all()
        assert next(iter(source)).image[0, 0] == pytest.approx(0.299 * 200, abs=1)


def test_a_volume_of_slices_is_refused(server, port):
    server[:] = [np.zeros((4, 48, 64), np.uint8)]
    with pytest.raises(InputError, match="volumes of 4 slices"), open_stream(address(port)):
        pass


def test_a_stream_that_changes_its_size_is_refused(server, port):
    with open_stream(address(port)) as source:
        frames = iter(source)
        next(frames)
        server[:] = [np.zeros((1, 60, 64), np.uint8)]
        with pytest.raises(InputError, match="changed its size from 64 x 48"):
            for _ in range(1000):
                next(frames)


def test_where_nobody_sends_a_sentence_says_so(port, monkeypatch):
    monkeypatch.setattr(stream, "QUIET_S", 0.3)
    with pytest.raises(InputError, match="sent no image within"), open_stream(address(port)):
        pass


def test_a_port_that_is_taken_is_told(server, port):
    with pytest.raises(InputError, match=f"Port {port} cannot be used"):
        next(send_stream(FRAMES, 30, port, "Probe"))
