"""Put the ends of pairs right: a small network reads how far they lie from the true ones.

An end seen on one slice of 5 mm says where it lies in the plane, but along the patient only to the
slice; a placed tip may lie millimetres off along its shaft. The strip says more: where the shaft
passes from one slice to the next, where the metal stops, where the hub begins and ends.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from needle_backend.core.geometry import unit_vectors
from needle_backend.core.weights import DEFAULT_END_WEIGHTS
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.strip_network import (
    FACTS,
    SeenPairs,
    StripNetwork,
    StripNetworkSettings,
    load_strip_network,
)
from needle_backend.ct.strips import PLACES

OFFSETS = 6
"""How far the true tip lies, in mm along the needle, across it in the slice and through the slices;
then the same of the handle."""
SQUEEZED = 4
"""Channels that keep their place along the strip."""
HIDDEN, DROPOUT = 96, 0.1


class EndNetwork(StripNetwork):
    """Offsets from a needle's ends to the true ones, mm."""

    default_weights = DEFAULT_END_WEIGHTS

    def __init__(self, settings: StripNetworkSettings) -> None:
        super().__init__(settings)
        self.squeeze = nn.Conv2d(settings.width, SQUEEZED, 1)
        self.head = nn.Sequential(
            nn.Linear(self.pooled_size + SQUEEZED * PLACES + FACTS, HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, OFFSETS),
        )

    def forward(self, strips: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """Return offsets, (n, 6) mm, of strips (n, channels, places) and facts (n, facts)."""
        features = self.features(strips)
        kept = self.squeeze(features).flatten(1)
        return self.head(torch.cat((self.pooled(features), kept, facts), dim=1))


def needle_axes(pairs: Pairs) -> np.ndarray:
    """Return unit vectors along, across and through the slices of each pair, (n, 3, 3) LPS."""
    along = unit_vectors(pairs.handles_lps - pairs.tips_lps)
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0], np.zeros(len(along)))))
    through = np.broadcast_to([0.0, 0.0, 1.0], along.shape)
    return np.stack((along, across, through), axis=1)


def with_corrected_ends(pairs: Pairs, seen: SeenPairs) -> Pairs:
    """Return pairs with both ends moved to where the picture shows them.

    Parameters
    ----------
    pairs, seen
        The pairs, and what was read of them.

    Raises
    ------
    InputError
        When the weights are missing or altered.
    """
    offsets_mm = seen.told_by(load_strip_network(EndNetwork, seen.device)).reshape(-1, 2, 3)
    moves = np.einsum("nek,nkx->nex", offsets_mm, needle_axes(pairs))
    tips_lps, handles_lps = pairs.tips_lps + moves[:, 0], pairs.handles_lps + moves[:, 1]
    length_mm = np.linalg.norm(handles_lps - tips_lps, axis=1)
    return replace(pairs, tips_lps=tips_lps, handles_lps=handles_lps, length_mm=length_mm)
