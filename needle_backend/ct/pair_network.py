"""The network that reads the strip between a tip and a handle.

It tells a needle from two halves of neighbours, and a tip from a faint piece of shaft, better than
the named features of the first look do. And it tells how far the ends lie from the true ones: an
end seen on one slice of 5 mm says where it lies in the plane, but along the patient only to the
slice; the strip shows where the shaft passes from one slice to the next, where the metal stops,
where the hub begins and ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from needle_backend.core.errors import InputError
from needle_backend.core.folding import fold_batch_norms
from needle_backend.core.weights import DEFAULT_PAIR_WEIGHTS, find_weights, load_state
from needle_backend.ct.strips import CHANNELS, PLACES, SHAFT_PLACES, TIP_MM

FACTS = 18
"""How many numbers are told beside a strip (:func:`needle_backend.ct.second_look.pair_facts`)."""
OFFSETS = 6
"""How far the true tip lies, in mm along the needle, across it in the slice and through the slices;
then the same of the handle."""
SQUEEZED = 8
"""Channels that keep their place along the strip, for the offsets."""
OFFSET_HIDDEN = 96


@dataclass(frozen=True)
class PairNetworkSettings:
    """Size of a network."""

    width: int = 32
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    hidden: int = 64
    dropout: float = 0.2


class PairNetwork(nn.Module):
    """Log-odds that pairs are needles, and offsets from their ends to the true ones.

    One trunk reads the strip for both answers.
    """

    def __init__(self, settings: PairNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        told = 6 * width + FACTS
        self.enter = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(_Block(width, dilation) for dilation in settings.dilations))
        self.odds_head = _head(told, settings.hidden, settings.dropout, 1)
        self.squeeze = nn.Conv2d(width, SQUEEZED, 1)
        self.offset_head = _head(
            told + SQUEEZED * PLACES, OFFSET_HIDDEN, settings.dropout / 2, OFFSETS
        )

    def forward(
        self, strips: torch.Tensor, facts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-odds, (n,), and offsets, (n, :data:`OFFSETS`) mm.

        Parameters
        ----------
        strips
            (n, places, channels), as :func:`needle_backend.ct.strips.sample_strips` makes them. A
            strip is laid out as a picture one row high: so a CPU convolves it in half the time.
        facts
            (n, :data:`FACTS`).
        """
        features = self.blocks(self.enter(strips.transpose(1, 2)[:, :, None]))
        told = torch.cat((_pooled(features), facts), dim=1)
        kept = self.squeeze(features).flatten(1)
        return self.odds_head(told)[:, 0], self.offset_head(torch.cat((told, kept), dim=1))


class _Block(nn.Module):
    """Two convolutions along the strip, beside which its features pass unchanged."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(width, width, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.change(features).add_(features).relu_()


def _head(told: int, hidden: int, dropout: float, answers: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(told, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, answers),
    )


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """Return mean and maximum of each channel over tip, shaft and hub, (n, 6 x width)."""
    shaft, hub = len(TIP_MM), len(TIP_MM) + SHAFT_PLACES
    row = features[:, :, 0]
    parts = (row[..., :shaft], row[..., shaft:hub], row[..., hub:])
    return torch.cat([pool for part in parts for pool in (part.mean(-1), part.amax(-1))], dim=1)


def load_pair_network(weights: str | None, device: str) -> PairNetwork:
    """Load weights, by name or path, onto a device; once, while the file stays the same.

    None gives the shipped ones.

    Raises
    ------
    InputError
        When the weights are missing, altered, or do not describe a pair network.
    """
    found = find_weights(weights, DEFAULT_PAIR_WEIGHTS)
    return _load(found.path, found.card["sha256"], device)


@lru_cache(maxsize=4)
def _load(path: Path, sha256: str, device: str) -> PairNetwork:
    try:
        architecture = dict(find_weights(str(path)).card["architecture"])
        architecture["dilations"] = tuple(architecture["dilations"])
        network = PairNetwork(PairNetworkSettings(**architecture))
        network.load_state_dict(load_state(path))
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{path} and its model card do not describe a network that judges pairs; train one "
            "with `needles train pairs`."
        ) from error
    network = fold_batch_norms(network.eval())
    return network.to(device, memory_format=torch.channels_last)
