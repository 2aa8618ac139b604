"""Time of the white top-hat beside SimpleITK's, slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from needle_backend.bench.timing import in_ms, machine, ratio, timed
from needle_backend.core.volume import Volume
from needle_backend.ct.preprocess import TOP_HAT_RADIUS_PX, white_top_hat, white_top_hat_on


def bench_tophat(volume: Volume, repeats: int, device: str) -> dict[str, Any]:
    """Measure the top-hat of a volume; on a GPU also there."""
    facts = machine(device)
    array = volume.array
    timings = {
        "tophat": timed(lambda: white_top_hat(array), repeats),
        "simpleitk": timed(lambda: simpleitk_top_hat(array), min(repeats, 3)),
    }
    if device != "cpu":
        timings["tophat_gpu"] = timed(lambda: white_top_hat_on(device, array), repeats)
    return {
        "benchmark": "tophat",
        "machine": facts,
        "sizes": dict(zip(("slices", "rows", "columns"), array.shape, strict=True)),
        "repeats": repeats,
        **in_ms(timings),
        "ratios": {"simpleitk_to_tophat": ratio(timings["simpleitk"], timings["tophat"])},
        "equal": bool(np.array_equal(white_top_hat(array), simpleitk_top_hat(array))),
    }


def simpleitk_top_hat(array: np.ndarray) -> np.ndarray:
    """White top-hat of each slice (slice, row, column), by the library's own filter."""
    radius = (TOP_HAT_RADIUS_PX, TOP_HAT_RADIUS_PX)
    filtered = [
        sitk.WhiteTopHat(sitk.GetImageFromArray(plane), radius, sitk.sitkBall) for plane in array
    ]
    return np.stack([sitk.GetArrayFromImage(plane) for plane in filtered])
