"""A simulated scanner streams a puncture, and its frames are tracked live."""

from __future__ import annotations

import csv
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from us.planted import write_untrained_weights

pyigtl = pytest.importorskip("pyigtl")

COMMAND = (sys.executable, "-c", "from needle_backend.cli.app import main; main()")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def scanner(tmp_path):
    """Return the address of a simulated scanner in a process of its own."""
    port = free_port()
    small = tmp_path / "small.toml"
    small.write_text("[sequence]\nsize = [160, 120]\n")
    process = subprocess.Popen(
        [*COMMAND, *("simulate", "us", "--igtl", str(port), "--fps", "20", "--frames", "6"),
         *("--settings", str(small))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stdout.readline()
    assert f"igtl://localhost:{port}/Simulated" in line, process.stderr.read()
    yield f"igtl://localhost:{port}/Simulated"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Interrupted; nothing half-written is left.\n")


@pytest.fixture
def hear_tips():
    """Listen at a port, even before anything is sent there."""

    @contextmanager
    def listen(port):
        heard, ended = [], threading.Event()
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)

        def receive():
            while not ended.is_set():
                message = client.wait_for_message("NeedleTip", timeout=0.05)
                heard.extend([] if message is None else [message])

        thread = threading.Thread(target=receive)
        thread.start()
        yield heard
        ended.set()
        thread.join()
        client.stop()

    return listen


def states_of(table):
    with table.open(newline="") as file:
        return [row["state"] for row in csv.DictReader(file)]


def test_a_simulated_scanner_is_tracked_for_as_long_as_asked(needles, scanner, tmp_path):
    code, out, err = needles(
        *("track", scanner, "--output", tmp_path / "tips.csv", "--seconds", 1),
        *("--weights", write_untrained_weights(tmp_path, threshold=0.0), "--device", "cpu"),
        *("--no-association", "--crop", "0,0,160,120"),
    )
    assert (code, err) == (0, "")
    states = states_of(tmp_path / "tips.csv")
    assert len(states) > 3
    assert f"{len(states)} frames of {scanner}" in out


def test_tips_are_sent_on_while_they_are_found(needles, scanner, tmp_path, hear_tips):
    port = free_port()
    with hear_tips(port) as heard:
        code, _, err = needles(
            *("track", scanner, "--output", tmp_path / "tips.csv", "--seconds", 2),
            *("--weights", write_untrained_weights(tmp_path, threshold=0.0), "--device", "cpu"),
            *("--no-association", "--crop", "0,0,160,120", "--igtl-out", port),
        )
    assert (code, err) == (0, "")
    assert {message.names[0] for message in heard} == {"detected"}


def test_ctrl_c_ends_a_stream_and_keeps_what_was_seen(scanner, tmp_path):
    table = tmp_path / "tips.csv"
    process = subprocess.Popen(
        [*COMMAND, *("track", scanner, "--output", str(table), "--crop", "0,0,160,120"),
         *("--weights", str(write_untrained_weights(tmp_path)), "--device", "cpu"),
         *("--overlay", str(tmp_path / "look.mp4"))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(tmp_path.glob(".part-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert states_of(table)
    assert "Written:" in out


@pytest.mark.parametrize(
    "options", [(), ("--output", "there", "--igtl", "18944")], ids=["neither", "both"]
)
def test_a_simulation_is_either_written_or_streamed(needles, options):
    code, _, err = needles("simulate", "us", *options)
    assert (code, "Give --output DIR" in err) == (2, True)
