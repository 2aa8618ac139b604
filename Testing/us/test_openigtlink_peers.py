"""OpenIGTLink's own C++ programs, which know nothing of this library, talk with it both ways.

They are skipped where they are not installed (Debian: g++ libopenigtlink-dev openigtlink-examples).
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from needle_backend.us.frames import Frame
from needle_backend.us.stream import StreamAddress, open_stream, send_stream
from needle_backend.us.tip_sending import tip_server
from needle_backend.us.tips import DETECTED, FrameAnswer, Tip

pytest.importorskip("pyigtl")

DEBIAN_ROOT = Path(os.environ.get("OPENIGTLINK_ROOT", "/"))
HEADERS = DEBIAN_ROOT / "usr/include/openigtlink"
EXAMPLES = DEBIAN_ROOT / "usr/share/doc/openigtlink-examples/examples"
LIBRARIES = DEBIAN_ROOT / "usr/lib"
FRAMES = [np.full((48, 64), 10 * number, np.uint8) for number in range(1, 9)]


@pytest.fixture(scope="session")
def example_program(tmp_path_factory):
    """Return a maker of OpenIGTLink's example programs."""
    if shutil.which("g++") is None or not HEADERS.is_dir() or not EXAMPLES.is_dir():
        pytest.skip(
            "OpenIGTLink's C++ examples are not installed "
            "(Debian: g++ libopenigtlink-dev openigtlink-examples)"
        )
    folder = tmp_path_factory.mktemp("openigtlink")

    def build(path):
        program = folder / path.stem
        libraries = sorted(LIBRARIES.rglob("libOpenIGTLink.so"))[0].parent
        subprocess.run(
            [
                *("g++", "-w", str(EXAMPLES / path), "-o", str(program)),
                *(f"-I{HEADERS}", f"-L{libraries}", f"-Wl,-rpath,{libraries}"),
                *("-lOpenIGTLink", "-lpthread"),
            ],
            check=True,
        )
        return program

    return build


def test_a_server_of_openigtlink_is_understood(example_program, port):
    program = example_program(Path("Imager/ImagerServer.cxx"))
    images = EXAMPLES / "Imager/img"
    peer = subprocess.Popen(
        [program, str(port), "20", str(images)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        known = [
            np.fromfile(images / f"igtlTestImage{number}.raw", np.uint8).reshape(256, 256)
            for number in range(1, 6)
        ]
        with open_stream(StreamAddress("127.0.0.1", port, "ImagerClient")) as source:
            frames = list(itertools.islice(source, 12))
        assert all(any(np.array_equal(frame.image, one) for one in known) for frame in frames)
    finally:
        peer.kill()
        peer.wait()


@pytest.fixture
def receiver(example_program, port, tmp_path):
    """Run OpenIGTLink's receiver; what it has heard so far can be asked for."""
    program = example_program(Path("Receiver/ReceiveClient.cxx"))

    @contextmanager
    def receive():
        heard = tmp_path / "heard.txt"
        with heard.open("w") as file:
            peer = subprocess.Popen(
                [program, "127.0.0.1", str(port)], stdout=subprocess.DEVNULL, stderr=file
            )
            try:
                yield heard.read_text
            finally:
                peer.kill()
                peer.wait()

    return receive


def test_a_client_of_openigtlink_understands_the_images_that_are_sent(receiver, port):
    sender = send_stream(FRAMES, 30, port, "Probe")
    next(sender)
    time.sleep(0.5)
    with receiver() as heard:
        for sent in sender:
            if sent > 300 or heard().count("IMAGE data") >= 3:
                break
    sender.close()
    assert heard().count("Receiving IMAGE data type.") >= 3


def test_a_client_of_openigtlink_understands_the_tips_that_are_sent(receiver, port):
    answer = FrameAnswer(0, 0.0, DETECTED, Tip(30.0, 20.0, 36.0, 20.0, 0.834))
    with tip_server(port) as send, receiver() as heard:
        deadline_s = time.monotonic() + 20
        while " Position" not in heard() and time.monotonic() < deadline_s:
            send(Frame(0, 0.0, FRAMES[0]), answer)
            time.sleep(0.05)
    assert "Name      : detected" in heard()
    assert "Position  : ( 30.000000, 20.000000, 0.000000 )" in heard()
