"""A simulated scanner streams a puncture, and its frames are tracked live."""

from __future__ import annotations

import csv
import signal
import socket
import subprocess
import sys
import time

import pytest
from us.planted import write_untrained_weights

COMMAND = (sys.executable, "-c", "from needle_backend.cli.app import main; main()")


@pytest.fixture
def scanner(tmp_path):
    """Return the address of a simulated scanner in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
