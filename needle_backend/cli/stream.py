"""Live streams on the command line: watched until Ctrl-C, and simulated ones sent."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from needle_backend.us.stream import ImageStream, StreamAddress
    from needle_backend.us.training.settings import SimulationSettings

DEVICE = "Simulated"


@contextmanager
def stream_until_interrupted(
    address: StreamAddress, seconds: float | None
) -> Iterator[ImageStream]:
    """Open a stream that Ctrl-C ends, so that what was seen until then is still written.

    Raises
    ------
    InputError
        When no image comes.
    """
    from needle_backend.us.stream import open_stream

    with open_stream(address, seconds) as stream:
        before = signal.signal(signal.SIGINT, lambda *_: stream.stop())
        try:
            yield stream
        finally:
            signal.signal(signal.SIGINT, before)


def stream_puncture(
    settings: SimulationSettings,
    seed: int,
    backgrounds: Sequence[Path],
    port: int,
    seconds: float | None,
) -> None:
    """Simulate one puncture, and send it as a scanner would.

    Raises
    ------
    InputError
        When the port is taken, or pyigtl is missing.
    """
    from dataclasses import replace

    from needle_backend.us.stream import send_stream
    from needle_backend.us.training.backgrounds import read_background
    from needle_backend.us.training.simulate import simulate_sequence

    background = read_background(backgrounds[seed % len(backgrounds)]) if backgrounds else None
    with_needle = replace(settings.sequence, needle_free_share=0.0)
    puncture = simulate_sequence(replace(settings, sequence=with_needle), seed, background)
    fps = settings.sequence.fps
    start = time.perf_counter()
    sent = 0
    for sent in send_stream(puncture.frames, fps, port, DEVICE, seconds):
        if sent == 1:
            typer.echo(f"Streaming at {fps:g} frames/s: igtl://localhost:{port}/{DEVICE}")
    typer.echo(f"{sent} frames in {time.perf_counter() - start:.1f} s.")
