"""Sample tip patches from a trained generator: restartable, the same bytes from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from needle_backend.core.device import choose_device
from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.runner import Runner, run_here
from needle_backend.core.weights import find_weights
from needle_backend.us.training.diffusion import (
    NOISE_STEPS,
    ddim,
    ddpm,
    dpm_solver,
    load_generator,
    sample,
)
from needle_backend.us.training.patches import PATCH_PX, patch_sheet, to_grey

BATCH = 32
"""Patches sampled at once; part of what a seed means, because sums depend on it."""

SAMPLERS = {"dpm-solver": dpm_solver, "ddim": ddim, "ddpm": ddpm}
DEFAULT_SAMPLER = "dpm-solver"


@dataclass(frozen=True)
class TipOrder:
    """What to generate: ``count`` patches of one seed.

    Attributes
    ----------
    weights
        The generator's weights, by name or path.
    steps
        Noise steps visited a patch; published DDPM takes 1000.
    sampler
        One of :data:`SAMPLERS`.
    device
        As ``--device`` has it.
    """

    output: Path
    count: int
    seed: int
    weights: str
    steps: int = 20
    sampler: str = DEFAULT_SAMPLER
    device: str = "auto"


def generate_tips(order: TipOrder, runner: Runner = run_here) -> Iterator[list[Path]]:
    """Write ``tip_00000.png`` and on, yielding each batch as it is ready; files there are kept.

    Raises
    ------
    InputError
        When the weights cannot be used, or the output folder cannot be made.
    """
    if order.sampler not in SAMPLERS:
        raise InputError(f"There is no sampler {order.sampler!r}; use {', '.join(SAMPLERS)}.")
    if order.sampler == "ddpm" and order.steps != NOISE_STEPS:
        raise InputError(
            f"DDPM visits all {NOISE_STEPS} noise steps; give --steps {NOISE_STEPS}, or "
            f"--sampler {DEFAULT_SAMPLER}."
        )
    find_weights(order.weights)
    try:
        order.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{order.output} cannot be made ({error.strerror}).") from error
    for outcome in runner(partial(make_batch, order), range(-(-order.count // BATCH))):
        yield outcome.value()


def make_batch(order: TipOrder, batch: int) -> list[Path]:
    """Sample and write one batch unless all its files are there already."""
    numbers = range(batch * BATCH, min((batch + 1) * BATCH, order.count))
    paths = [order.output / f"tip_{number:05d}.png" for number in numbers]
    if all(path.exists() for path in paths):
        return paths
    # A batch is always sampled whole, so that a later, longer run agrees with this one.
    for path, image in zip(paths, _sampled(order, batch), strict=False):
        with written_whole(path) as temporary:
            cv2.imwrite(str(temporary), image)
    return paths


def write_sheet(paths: list[Path], sheet: Path, columns: int = 16) -> None:
    """Write a contact sheet of patches."""
    images = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths])
    with written_whole(sheet) as temporary:
        cv2.imwrite(str(temporary), patch_sheet(images, columns))


def _sampled(order: TipOrder, batch: int) -> np.ndarray:
    device = choose_device(order.device).device
    network = load_generator(order.weights, device)
    # Drawn on the CPU: a GPU's generator gives other numbers.
    state = np.random.SeedSequence([order.seed, batch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> 1))
    noise = torch.randn(BATCH, 1, PATCH_PX, PATCH_PX, generator=generator)
    patches = sample(network, noise.to(device), order.steps, SAMPLERS[order.sampler](), generator)
    return to_grey(patches.cpu().numpy())
