"""Time from an ultrasound frame to the box around the needle's tip, one frame at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from needle_backend.bench.timing import Timing, in_ms, machine, ratio
from needle_backend.core.weights import DEFAULT_US_WEIGHTS, find_weights
from needle_backend.us.detect import TipDetector
from needle_backend.us.network import Yolot, decode
from needle_backend.us.preprocess import letterbox, normalised
from needle_backend.us.weights import load_detector

FRAME_ROWS, FRAME_COLUMNS = 480, 640
WARM_UP = 5


def bench_us(weights: str | None, device: str, repeats: int) -> dict[str, Any]:
    """Measure the detector on speckle, in float32 and, where the device has it, in bf16.

    Beside it the plain network, as it was trained: normalisations and three colours kept, float32,
    the tensors in their usual order.
    """
    facts = machine(device)
    frame = speckle_frame(np.random.default_rng(1))
    detectors = {"float32": TipDetector(weights, device, 0.0, bf16=False)}
    half = TipDetector(weights, device, 0.0, bf16=True)
    if half.bf16:
        detectors["bf16"] = half
    measured = {"letterbox": latencies(lambda: letterbox(frame, half.input_px), repeats)}
    for name, detector in detectors.items():
        measured[f"frame_to_box_{name}"] = latencies(
            lambda d=detector: d.detect(frame, 0.0), repeats
        )
        measured[f"network_{name}"] = latencies(lambda d=detector: _maps(d, frame), repeats)
    measured["plain_network"] = latencies(_plain(weights, device, half.input_px), repeats)
    timings = {
        name: Timing(statistics.median(one.wall_s), statistics.median(one.processor_s))
        for name, one in measured.items()
    }
    p99_s = {name: float(np.quantile(one.wall_s, 0.99)) for name, one in measured.items()}
    ratios = {
        "plain_network_to_network": ratio(timings["plain_network"], timings["network_float32"])
    }
    for name in detectors:
        ratios[f"frame_to_box_to_network_{name}"] = ratio(
            timings[f"frame_to_box_{name}"], timings[f"network_{name}"]
        )
    return {
        "benchmark": "us",
        "machine": facts,
        "weights": half.weights_name,
        "sizes": {"rows": FRAME_ROWS, "columns": FRAME_COLUMNS, "input_px": half.input_px},
        "repeats": repeats,
        **in_ms(timings),
        "p99_ms": {name: round(1000 * value, 2) for name, value in p99_s.items()},
        "frames_a_second": {
            name: round(1 / timings[f"frame_to_box_{name}"].wall_s, 1) for name in detectors
        },
        "ratios": ratios,
    }


def speckle_frame(rng: np.random.Generator) -> np.ndarray:
    """Return a grey frame of noise; how long a frame takes does not depend on what it shows."""
    amplitude = rng.rayleigh(60, (FRAME_ROWS, FRAME_COLUMNS))
    return np.clip(amplitude, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Latencies:
    """Times of repeated runs in seconds: on the wall's clock, and of the processor."""

    wall_s: list[float]
    processor_s: list[float]


def latencies(function: Callable[[], object], repeats: int) -> Latencies:
    """Run a function some times to warm up, then so many times for its times."""
    for _ in range(WARM_UP):
        function()
    measured = Latencies([], [])
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        measured.processor_s.append(time.process_time() - processor)
        measured.wall_s.append(time.perf_counter() - wall)
    return measured


def _maps(detector: TipDetector, frame: np.ndarray) -> Sequence[torch.Tensor]:
    maps = detector.maps(frame)
    if maps[0].is_cuda:
        torch.cuda.synchronize()
    return maps


def _plain(weights: str | None, device: str, input_px: int) -> Callable[[], object]:
    network, _ = load_detector(find_weights(weights, DEFAULT_US_WEIGHTS), device)
    square = torch.zeros((1, input_px, input_px), dtype=torch.uint8, device=device)

    def run() -> None:
        plain_answer(network, square)
        if network.stem.conv.weight.is_cuda:
            torch.cuda.synchronize()

    return run


@torch.inference_mode()
def plain_answer(network: Yolot, square: torch.Tensor) -> torch.Tensor:
    """Return the boxes of a square, the plain way."""
    return decode(network(normalised(square))).boxes
