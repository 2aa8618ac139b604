"""A second look at pairs: a small network that reads the strip between a tip and a handle.

It tells a needle from two halves of neighbours, and a tip from a faint piece of shaft, better than
the named features of the first look do; it is slower, and sees only what those leave over.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from needle_backend.core.weights import DEFAULT_PAIR_WEIGHTS
from needle_backend.ct.strip_network import (
    FACTS,
    SeenPairs,
    StripNetwork,
    StripNetworkSettings,
    load_strip_network,
)


class PairNetwork(StripNetwork):
    """Log-odds that a pair is a needle."""

    default_weights = DEFAULT_PAIR_WEIGHTS

    def __init__(self, settings: StripNetworkSettings) -> None:
        super().__init__(settings)
        self.head = nn.Sequential(
            nn.Linear(self.pooled_size + FACTS, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, 1),
        )

    def forward(self, strips: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """Return log-odds, (n,), of strips (n, channels, places) and facts (n, facts)."""
        pooled = self.pooled(self.features(strips))
        return self.head(torch.cat((pooled, facts), dim=1))[:, 0]


def second_look(seen: SeenPairs) -> np.ndarray:
    """Return the network's log-odds for each pair, (n,), lengths aside.

    Raises
    ------
    InputError
        When the weights are missing or altered.
    """
    return seen.told_by(load_strip_network(PairNetwork, seen.device))
