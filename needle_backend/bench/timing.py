"""Medians of repeated runs, and the machine they were measured on."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from needle_backend import __version__


@dataclass(frozen=True)
class Timing:
    """Medians over repeated runs.

    Attributes
    ----------
    wall_s
        As a clock on the wall shows it.
    processor_s
        Processor time of all threads, which other work on the machine lengthens little.
    """

    wall_s: float
    processor_s: float


def timed(function: Callable[[], object], repeats: int, enough_s: float = math.inf) -> Timing:
    """Run a function once to warm up, then so many times for its medians.

    Fewer times when it has run for ``enough_s`` before, but once at least: what takes long varies
    little.
    """
    function()
    wall_s: list[float] = []
    processor_s: list[float] = []
    while len(wall_s) < repeats and sum(wall_s, 0.0) < enough_s:
        wall, processor = time.perf_counter(), time.process_time()
        function()
        processor_s.append(time.process_time() - processor)
        wall_s.append(time.perf_counter() - wall)
    return Timing(statistics.median(wall_s), statistics.median(processor_s))


def in_ms(timings: dict[str, Timing]) -> dict[str, dict[str, float]]:
    """Return the medians of several functions for a report, in milliseconds."""
    return {
        "median_ms": {name: round(1000 * t.wall_s, 2) for name, t in timings.items()},
        "median_processor_ms": {
            name: round(1000 * t.processor_s, 2) for name, t in timings.items()
        },
    }


def ratio(dividend: Timing, divisor: Timing) -> dict[str, float]:
    """Return how many times as long one takes as the other, on the wall and of the processor."""
    return {
        "wall": round(dividend.wall_s / divisor.wall_s, 3),
        "processor": round(dividend.processor_s / divisor.processor_s, 3),
    }


def scaling(sizes: Sequence[int], timings: Sequence[Timing]) -> dict[str, Any]:
    """Report times against sizes.

    ``exponent`` is the slope of the logarithms over the upper half of the sizes, where fixed costs
    count little: 1 where time grows with the size, 2 where it grows with its square.
    """
    import numpy as np

    wall_s = [timing.wall_s for timing in timings]
    report: dict[str, Any] = {
        "sizes": list(sizes),
        "median_ms": [round(1000 * value, 2) for value in wall_s],
        "median_processor_ms": [round(1000 * timing.processor_s, 2) for timing in timings],
    }
    upper = len(sizes) // 2 if len(sizes) > 3 else 0
    if len(sizes) > 1:
        slope = np.polyfit(np.log(sizes[upper:]), np.log(wall_s[upper:]), 1)[0]
        report["exponent"] = round(float(slope), 2)
    return report


def machine(device: str = "cpu") -> dict[str, Any]:
    """Describe the processor, the device, the versions, and how busy the machine is."""
    import torch

    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "needles": __version__,
        "python": platform.python_version(),
    }
    if device != "cpu":
        facts["gpu"] = torch.cuda.get_device_name(device)
    if hasattr(os, "getloadavg"):
        facts["load_before"] = round(os.getloadavg()[0], 2)
    packages = ("torch", "torchvision", "timm", "numpy", "scipy", "SimpleITK")
    facts |= {package: version(package) for package in packages}
    return facts


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
