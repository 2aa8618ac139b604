"""Time of finding the needles of a CT, of its parts, and of a plain network beside it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d

from needle_backend.bench.timing import Timing, in_ms, machine, ratio, scaling, timed
from needle_backend.bench.volumes import with_slices
from needle_backend.core.device import autocast
from needle_backend.core.markups import write_markups
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume, write_volume
from needle_backend.core.weights import find_weights
from needle_backend.ct.detect import detect_ends, neighbour_stacks
from needle_backend.ct.localize import InProcessLocalizer
from needle_backend.ct.network import DeformableHead, TipHandleNetwork
from needle_backend.ct.preprocess import InputSettings, network_input_torch
from needle_backend.ct.weights import load_network

ENOUGH_S = 5.0
"""A size whose runs have taken so long together is not run again, so that many slices end, too."""
REFERENCE_SLICES = 4
"""The plain network is slow: so many slices stand for all."""


def bench_ct(
    base: Volume, slices: int, repeats: int, options: LocateOptions, sizes: Sequence[int]
) -> dict[str, Any]:
    """Measure reading, locating and writing a CT with a warm network, and where the time goes.

    Parameters
    ----------
    base
        Its slices make up volumes of any size.
    slices
        Of the volume measured in detail.
    options
        The device and the weights.
    sizes
        Numbers of slices to measure from end to end.
    """
    device = options.device
    facts = machine(device)
    volume = with_slices(base, slices)
    localizer = InProcessLocalizer()
    stages: list[dict[str, float]] = []
    timings = {"end_to_end": _end_to_end(localizer, volume, options, repeats, stages)}
    timings |= _network_timings(localizer, volume, options, repeats)
    report = {
        "benchmark": "ct",
        "machine": facts,
        "sizes": dict(zip(("slices", "rows", "columns"), volume.array.shape, strict=True)),
        "repeats": repeats,
        **in_ms(timings),
        "stages_ms": {name: round(1000 * seconds, 2) for name, seconds in stages[-1].items()},
        "ratios": {
            "plain_network_to_network": ratio(timings["plain_network"], timings["network"]),
            "backbone_to_end_to_end": ratio(timings["backbone"], timings["end_to_end"]),
        },
    }
    if sizes:
        grown = [
            _end_to_end(localizer, with_slices(base, size), options, repeats, [], ENOUGH_S)
            for size in sizes
        ]
        report["scaling"] = scaling(sizes, grown)
    return report


def _end_to_end(
    localizer: InProcessLocalizer,
    volume: Volume,
    options: LocateOptions,
    repeats: int,
    stages: list[dict[str, float]],
    enough_s: float = math.inf,
) -> Timing:
    """Time from the CT's file to the markups' file; ``stages`` gets each run's own timings."""
    with tempfile.TemporaryDirectory() as folder:
        ct, markups = Path(folder) / "ct.nii.gz", Path(folder) / "needles.mrk.json"
        write_volume(ct, volume)

        def locate() -> None:
            result = localizer.locate(read_volume(ct), options, no_progress, CancelToken())
            write_markups(markups, result.needles)
            stages.append(result.timings_s)

        return timed(locate, repeats, enough_s)


def _network_timings(
    localizer: InProcessLocalizer, volume: Volume, options: LocateOptions, repeats: int
) -> dict[str, Timing]:
    """Time the whole detection, the backbone alone, and the plain network, on all slices."""
    loaded = localizer.load(options.weights, options.device)
    plain, inputs = load_network(find_weights(options.weights), options.device)
    array, device = volume.array, torch.device(options.device)
    some = range(min(REFERENCE_SLICES, len(array)))
    share = len(array) / len(some)
    with torch.inference_mode():
        images = [_image(array, number, inputs, device) for number in range(len(array))]

        def backbone() -> None:
            with autocast(device):
                for image in images:
                    loaded.network.backbone(image)
            _wait(device)

        def plain_network() -> None:
            for number in some:
                plain_answers(plain, images[number])
            _wait(device)

        timings = {
            "network": timed(lambda: detect_ends(loaded.network, array, inputs), repeats),
            "backbone": timed(backbone, repeats),
        }
        once = timed(plain_network, min(repeats, 3))
    timings["plain_network"] = Timing(once.wall_s * share, once.processor_s * share)
    return timings


def plain_answers(network: TipHandleNetwork, image: torch.Tensor) -> list[torch.Tensor]:
    """Evaluate a network the plain way: float32, the library's deformable convolutions, everywhere.

    Returns
    -------
    list of torch.Tensor
        Heatmap logits, offset and direction at every cell, (n, 2, rows / 4, columns / 4) each.
    """
    features = network.features(image)
    heads = (network.heatmap_head, network.offset_head, network.angle_head)
    return [_plain_head(head, features) for head in heads]


def _plain_head(head: DeformableHead, features: torch.Tensor) -> torch.Tensor:
    bent = deform_conv2d(features, head.offset(features), head.weight, head.bias, padding=1)
    return head.out(F.relu(bent))


def _image(array: Any, number: int, inputs: InputSettings, device: torch.device) -> torch.Tensor:
    hu = neighbour_stacks(array, range(number, number + 1), inputs.neighbours, device)
    return network_input_torch(hu, inputs)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
