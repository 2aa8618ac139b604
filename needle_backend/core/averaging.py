"""Average a network's weights over its training: steadier than the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

PREFIX = "average."
"""Under which a training module keeps its average, and checkpoints its tensors."""


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move averaged weights towards the current ones; faster during the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(current[name].to(value.dtype), 1 - decay)
        else:
            value.copy_(current[name])


def mean_state(
    first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Return tensors of which ``share`` is the first's and the rest the second's.

    The mean of a network before and after a training on other data is often better on both kinds of
    data than either (Wortsman et al. 2022, arXiv 2109.01903).
    """
    return {
        name: torch.lerp(value, first[name].to(value.dtype), share)
        if value.dtype.is_floating_point
        else value
        for name, value in second.items()
    }


def averaged_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the averaged network's tensors in a checkpoint."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    return {
        name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)
    }
