"""Run the network over a volume and decode its heatmaps into ends on slices."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from needle_backend.core.progress import CancelToken, Progress, no_progress
from needle_backend.ct.ends import SliceEnds
from needle_backend.ct.network import HEATMAP_STRIDE, TipHandleNetwork
from needle_backend.ct.preprocess import (
    InputSettings,
    neighbour_stack,
    network_input,
    padded_to_stride,
)

SCORE_THRESHOLD = 0.2
"""Weakest heatmap peak kept; matching decides what becomes of weak ones."""
_BATCH = 4


def detect_ends(
    network: TipHandleNetwork,
    array: np.ndarray,
    settings: InputSettings,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
    threshold: float = SCORE_THRESHOLD,
) -> SliceEnds:
    """Find tips and handles on every slice.

    Parameters
    ----------
    network
        In evaluation mode, on the device to use.
    array
        [slice, row, column] HU.
    threshold
        Weakest heatmap value that counts.
    """
    device = next(network.parameters()).device
    found = []
    for first in range(0, len(array), _BATCH):
        if cancel is not None:
            cancel.raise_if_cancelled()
        numbers = range(first, min(first + _BATCH, len(array)))
        stacks = [neighbour_stack(array, k, settings.neighbours) for k in numbers]
        image = padded_to_stride(network_input(np.stack(stacks), settings))
        batch = torch.from_numpy(image).to(device, memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(device):
            ends = decode(network, network.features(batch), threshold)
        found.append((first, ends))
        progress("network", (numbers[-1] + 1) / len(array))
    return _joined(found)


def autocast(device: torch.device) -> torch.autocast:
    """bf16 where the processor computes in it, else plain float32."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16())


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX512-BF16 or AMX)."""
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capable())


def decode(
    network: TipHandleNetwork, features: torch.Tensor, threshold: float
) -> dict[str, np.ndarray]:
    """Turn heatmap peaks into ends; ``image`` counts from 0 within the batch.

    A peak is a cell not lower than its eight neighbours. Its position is (cell + offset) x 4.
    """
    heat = torch.sigmoid(network.heatmap_logits(features).float())
    peak = (heat == F.max_pool2d(heat, 3, stride=1, padding=1)) & (heat > threshold)
    image, kind, y, x = torch.nonzero(peak, as_tuple=True)
    cells = torch.stack([image, y, x], dim=1)
    offset = network.offset_at(features, cells)
    direction = network.direction_at(features, cells)
    position = (cells[:, [2, 1]] + offset) * HEATMAP_STRIDE
    angle = torch.rad2deg(torch.atan2(direction[:, 1], direction[:, 0]))
    values = {
        "kind": kind,
        "image": image,
        "column": position[:, 0],
        "row": position[:, 1],
        "angle_deg": angle,
        "score": heat[image, kind, y, x],
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def _joined(found: list[tuple[int, dict[str, np.ndarray]]]) -> SliceEnds:
    def column(name: str) -> np.ndarray:
        return np.concatenate([ends[name] for _, ends in found])

    return SliceEnds(
        kind=column("kind").astype(np.int8),
        column=column("column").astype(float),
        row=column("row").astype(float),
        slice_index=np.concatenate([first + ends["image"] for first, ends in found]),
        angle_deg=column("angle_deg").astype(float),
        score=column("score").astype(float),
    )
