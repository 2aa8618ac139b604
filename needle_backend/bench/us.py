"""Time from an ultrasound frame to the box around the needle's tip, one frame at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from needle_backend.bench.timing import machine
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
    latencies = {"letterbox": latencies_s(lambda: letterbox(frame, half.input_px), repeats)}
    for name, detector in detectors.items():
        latencies[f"frame_to_box_{name}"] = latencies_s(lambda d=detector: d.detect(frame), repeats)
        latencies[f"network_{name}"] = latencies_s(lambda d=detector: _maps(d, frame), repeats)
    latencies["plain_network"] = latencies_s(_plain(weights, device, half.input_px), repeats)
    median = {name: float(np.median(values)) for name, values in latencies.items()}
    return {
        "benchmark": "us",
        "machine": facts,
        "weights": half.weights_name,
        "sizes": {"rows": FRAME_ROWS, "columns": FRAME_COLUMNS, "input_px": half.input_px},
        "repeats": repeats,
        "median_ms": _in_ms(median),
        "p99_ms": _in_ms({n: float(np.quantile(v, 0.99)) for n, v in latencies.items()}),
        "frames_a_second": {
            name: round(1 / median[f"frame_to_box_{name}"], 1) for name in detectors
        },
        "ratios": {
            "plain_network_to_network": round(
                median["plain_network"] / median["network_float32"], 3
            ),
            **{
                f"frame_to_box_to_network_{name}": round(
                    median[f"frame_to_box_{name}"] / median[f"network_{name}"], 3
                )
                for name in detectors
            },
        },
    }


def speckle_frame(rng: np.random.Generator) -> np.ndarray:
    """Return a grey frame of noise; how long a frame takes does not depend on what it shows."""
    amplitude = rng.rayleigh(60, (FRAME_ROWS, FRAME_COLUMNS))
    return np.clip(amplitude, 0, 255).astype(np.uint8)


def latencies_s(function: Callable[[], object], repeats: int) -> list[float]:
    """Run a function some times to warm up, then so many times for its times."""
    for _ in range(WARM_UP):
        function()
    values = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        values.append(time.perf_counter() - start)
    return values


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


def _in_ms(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(1000 * value, 2) for name, value in seconds.items()}
