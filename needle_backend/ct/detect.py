"""Run the network over a volume and decode its heatmaps into ends on slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from needle_backend.core.device import autocast, to_device
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken, Progress, no_progress
from needle_backend.ct.batches import in_batches
from needle_backend.ct.ends import SliceEnds
from needle_backend.ct.network import HEATMAP_STRIDE, TipHandleNetwork
from needle_backend.ct.preprocess import InputSettings, network_input_torch

SCORE_THRESHOLD = LocateOptions.tip_threshold
"""Weakest heatmap peak kept; matching decides what becomes of weak ones."""


def ignore(sentence: str) -> None:
    """Do nothing about a warning."""


def detect_ends(
    network: TipHandleNetwork,
    array: np.ndarray,
    settings: InputSettings,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
    threshold: float = SCORE_THRESHOLD,
    warn: Callable[[str], object] = ignore,
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
    warn
        Told in a sentence when the device's memory was short.

    Raises
    ------
    torch.cuda.OutOfMemoryError
        When the GPU's memory does not even hold one slice.
    """
    device = next(network.parameters()).device

    def detect(numbers: range) -> dict[str, np.ndarray]:
        if cancel is not None:
            cancel.raise_if_cancelled()
        with torch.inference_mode(), autocast(device):
            hu = neighbour_stacks(array, numbers, settings.neighbours, device)
            features = network.features(network_input_torch(hu, settings))
            return decode(network, features, threshold)

    found = []
    for numbers, ends in in_batches(detect, len(array), device, warn):
        found.append((numbers.start, ends))
        progress("network", numbers.stop / len(array))
    return _joined(found)


def neighbour_stacks(
    array: np.ndarray, numbers: range, neighbours: int, device: torch.device
) -> torch.Tensor:
    """Put slices with their neighbours on a device, (n, 2 neighbours + 1, rows, columns) HU.

    Each slice travels once; beyond the volume its last slice is repeated.
    """
    index = np.array(numbers)[:, None] + np.arange(-neighbours, neighbours + 1)
    index = np.clip(index, 0, len(array) - 1)
    lowest = index.min()
    hu = to_device(array[lowest : index.max() + 1], device)
    return hu[to_device(index - lowest, device)]


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
