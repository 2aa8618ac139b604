"""A second look at pairs: a small network that reads the strip between a tip and a handle.

It tells a needle from two halves of neighbours, and a tip from a faint piece of shaft, better than
the named features of the first look do; it is slower, and sees only what those leave over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from needle_backend.core.errors import InputError
from needle_backend.core.folding import fold_batch_norms
from needle_backend.core.volume import Volume
from needle_backend.core.weights import DEFAULT_PAIR_WEIGHTS, find_weights, load_state
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.parts import in_parts
from needle_backend.ct.strips import CHANNELS, SHAFT_PLACES, TIP_MM, sample_strips, tall_picture

FACTS = 18
"""How many numbers :func:`pair_facts` tells beside a strip."""


@dataclass(frozen=True)
class PairNetworkSettings:
    """Size of the network."""

    width: int = 32
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    hidden: int = 64
    dropout: float = 0.2


class PairNetwork(nn.Module):
    """Convolutions along the strip, pooled over tip, shaft and hub, joined with the facts."""

    def __init__(self, settings: PairNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        self.enter = nn.Conv1d(CHANNELS, width, 1)
        self.blocks = nn.ModuleList(_block(width, dilation) for dilation in settings.dilations)
        self.leave = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU())
        self.head = nn.Sequential(
            nn.Linear(6 * width + FACTS, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, 1),
        )

    def forward(self, strips: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """Return log-odds, (n,), of strips (n, channels, places) and facts (n, facts)."""
        features = self.enter(strips)
        for block in self.blocks:
            features = features + block(features)
        features = self.leave(features)
        shaft, hub = len(TIP_MM), len(TIP_MM) + SHAFT_PLACES
        parts = (features[..., :shaft], features[..., shaft:hub], features[..., hub:])
        pooled = [pool for part in parts for pool in (part.mean(-1), part.amax(-1))]
        return self.head(torch.cat([*pooled, facts], dim=1))[:, 0]


def _block(width: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Conv1d(width, width, 1),
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


def second_look(
    pairs: Pairs, tophat: np.ndarray, volume: Volume, device: str = "cpu"
) -> np.ndarray:
    """Return the network's log-odds for each pair, (n,), lengths aside.

    Raises
    ------
    InputError
        When the weights are missing or altered.
    """
    network = load_pair_network(device)
    facts = pair_facts(pairs, volume)
    picture = tall_picture(tophat, device)

    def log_odds(some: slice) -> np.ndarray:
        strips = sample_strips(pairs.tips_lps[some], pairs.handles_lps[some], picture, volume)
        with torch.inference_mode():
            told = network(strips, torch.as_tensor(facts[some], device=device))
        return told.cpu().numpy().astype(float)

    return np.concatenate(in_parts(log_odds, len(pairs), device))


@lru_cache(maxsize=2)
def load_pair_network(device: str) -> PairNetwork:
    """Load the shipped weights onto a device, once.

    Raises
    ------
    InputError
        When the weights are missing, altered, or do not describe such a network.
    """
    weights = find_weights(None, DEFAULT_PAIR_WEIGHTS)
    try:
        architecture = dict(weights.card["architecture"])
        architecture["dilations"] = tuple(architecture["dilations"])
        network = PairNetwork(PairNetworkSettings(**architecture))
        network.load_state_dict(load_state(weights.path))
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{weights.path} and its model card do not describe a pair network."
        ) from error
    return fold_batch_norms(network.eval()).to(device)
