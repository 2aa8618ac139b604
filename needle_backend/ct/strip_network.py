"""What networks that read strips have in common: their trunk, the facts beside, their weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from needle_backend.core.errors import InputError
from needle_backend.core.folding import fold_batch_norms
from needle_backend.core.volume import Volume
from needle_backend.core.weights import find_weights, load_state
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.parts import in_parts
from needle_backend.ct.strips import (
    CHANNELS,
    SHAFT_PLACES,
    TIP_MM,
    sample_strips,
    tall_picture,
)

FACTS = 18
"""How many numbers :func:`pair_facts` tells beside a strip."""


@dataclass(frozen=True)
class StripNetworkSettings:
    """Size of a network."""

    width: int = 32
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    hidden: int = 64
    dropout: float = 0.2


class StripNetwork(nn.Module):
    """Convolutions along the strip; what they find is pooled over tip, shaft and hub.

    A strip is laid out as a picture one row high: so a CPU convolves it in half the time.
    """

    default_weights: str
    """Name of the shipped weights."""

    def __init__(self, settings: StripNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        self.enter = nn.Conv2d(CHANNELS, width, 1)
        self.blocks = nn.ModuleList(_block(width, dilation) for dilation in settings.dilations)
        self.leave = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())

    @property
    def pooled_size(self) -> int:
        """How many numbers :meth:`pooled` gives a strip."""
        return 6 * self.settings.width

    def features(self, strips: torch.Tensor) -> torch.Tensor:
        """Return (n, width, 1, places) from strips (n, channels, places)."""
        row = strips[:, :, None].contiguous(memory_format=torch.channels_last)
        features = self.enter(row)
        for block in self.blocks:
            features = features + block(features)
        return self.leave(features)

    @staticmethod
    def pooled(features: torch.Tensor) -> torch.Tensor:
        """Return mean and maximum of each channel over tip, shaft and hub, (n, 6 x width)."""
        shaft, hub = len(TIP_MM), len(TIP_MM) + SHAFT_PLACES
        row = features[:, :, 0]
        parts = (row[..., :shaft], row[..., shaft:hub], row[..., hub:])
        return torch.cat([pool for part in parts for pool in (part.mean(-1), part.amax(-1))], dim=1)


def _block(width: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
    )


def pair_facts(pairs: Pairs, volume: Volume) -> np.ndarray:
    """Return what is known of pairs beside their strips, (n, :data:`FACTS`) of order 1."""
    shaft = pairs.shaft
    spacing_x, _, spacing_z = volume.spacing_mm
    facts = (
        np.where(pairs.placed, 0.0, pairs.tip_heatmap),
        pairs.tip_heatmap,
        pairs.handle_heatmap,
        pairs.tip_turn_deg / 10,
        pairs.handle_turn_deg / 10,
        np.minimum(pairs.moved_mm, 30.0) / 10,
        pairs.length_mm / 200,
        pairs.placed,
        pairs.seen_as == UNSEEN,
        np.full(len(pairs), spacing_z / 5),
        np.full(len(pairs), spacing_x),
        shaft.seen,
        shaft.astray,
        shaft.wander_mm,
        np.abs(shaft.tip_shift_mm),
        np.abs(shaft.handle_shift_mm),
        np.abs(shaft.bow_mm) / 4,
        shaft.goes_on,
    )
    return np.column_stack(facts).astype(np.float32)


@dataclass(frozen=True)
class SeenPairs:
    """What the networks read of n pairs: strips (n, channels, places) and facts (n, facts)."""

    strips: torch.Tensor
    facts: torch.Tensor

    def __len__(self) -> int:
        return len(self.strips)

    def take(self, selection: np.ndarray) -> SeenPairs:
        """Return the selected pairs (a boolean mask)."""
        chosen = torch.as_tensor(selection, device=self.strips.device)
        return SeenPairs(self.strips[chosen], self.facts[chosen])

    def told_by(self, network: StripNetwork) -> np.ndarray:
        """Return what a network says of each pair."""

        def told(some: slice) -> np.ndarray:
            with torch.inference_mode():
                return network(self.strips[some], self.facts[some]).cpu().numpy().astype(float)

        return np.concatenate(in_parts(told, len(self), self.strips.device.type))

    @property
    def device(self) -> str:
        """Where they lie, and networks read them."""
        return str(self.strips.device)


def read_strips(pairs: Pairs, tophat: np.ndarray, volume: Volume, device: str = "cpu") -> SeenPairs:
    """Sample the top-hat along pairs, as far as networks read it.

    Parameters
    ----------
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.
    device
        Where to sample, and to read.
    """
    picture = tall_picture(tophat, device)

    def strips(some: slice) -> torch.Tensor:
        return sample_strips(pairs.tips_lps[some], pairs.handles_lps[some], picture, volume)

    facts = torch.as_tensor(pair_facts(pairs, volume), device=device)
    return SeenPairs(torch.cat(in_parts(strips, len(pairs), device)), facts)


Network = TypeVar("Network", bound=StripNetwork)


@lru_cache(maxsize=4)
def load_strip_network(kind: type[Network], device: str) -> Network:
    """Load the shipped weights of one kind of network onto a device, once.

    Raises
    ------
    InputError
        When the weights are missing, altered, or do not describe such a network.
    """
    weights = find_weights(None, kind.default_weights)
    try:
        architecture = dict(weights.card["architecture"])
        architecture["dilations"] = tuple(architecture["dilations"])
        network = kind(StripNetworkSettings(**architecture))
        network.load_state_dict(load_state(weights.path))
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{weights.path} and its model card do not describe a {kind.__name__}."
        ) from error
    network = fold_batch_norms(network.eval())
    return network.to(device, memory_format=torch.channels_last)
