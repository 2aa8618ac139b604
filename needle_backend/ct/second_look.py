"""A second look at pairs: a network tells which are needles, and where their ends lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from needle_backend.core.geometry import unit_vectors
from needle_backend.core.volume import Volume
from needle_backend.ct.pair_network import OFFSETS, PairNetwork
from needle_backend.ct.pairs import UNSEEN, Pairs
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.strips import sample_strips


@dataclass(frozen=True)
class SecondLook:
    """What the network tells of n pairs.

    Attributes
    ----------
    log_odds
        That each is a needle, lengths aside, (n,).
    offsets_mm
        Where the true ends lie, (n, :data:`needle_backend.ct.pair_network.OFFSETS`).
    """

    log_odds: np.ndarray
    offsets_mm: np.ndarray


def look_at(pairs: Pairs, tophat: TopHat, network: PairNetwork) -> SecondLook:
    """Let the network, on the top-hat's device, read the strips of pairs."""
    facts = torch.from_numpy(pair_facts(pairs, tophat.volume)).to(tophat.device)
    strips = sample_strips(pairs.tips_lps, pairs.handles_lps, tophat)
    with torch.inference_mode():
        log_odds, offsets_mm = network(strips, facts)
    return SecondLook(log_odds.cpu().numpy().astype(float), offsets_mm.cpu().numpy().astype(float))


def pair_facts(pairs: Pairs, volume: Volume) -> np.ndarray:
    """Return what is known of pairs beside their strips, all of order 1, (n, facts)."""
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


def needle_axes(pairs: Pairs) -> np.ndarray:
    """Return unit vectors along, across and through the slices of each pair, (n, 3, 3) LPS."""
    along = unit_vectors(pairs.handles_lps - pairs.tips_lps)
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0], np.zeros(len(along)))))
    through = np.broadcast_to([0.0, 0.0, 1.0], along.shape)
    return np.stack((along, across, through), axis=1)


def with_corrected_ends(pairs: Pairs, offsets_mm: np.ndarray) -> Pairs:
    """Return pairs with both ends moved by offsets, (n, 6), along the pairs' own axes."""
    by_end = offsets_mm.reshape(-1, 2, OFFSETS // 2)
    moves = np.einsum("nek,nkx->nex", by_end, needle_axes(pairs))
    tips_lps, handles_lps = pairs.tips_lps + moves[:, 0], pairs.handles_lps + moves[:, 1]
    length_mm = np.linalg.norm(handles_lps - tips_lps, axis=1)
    return replace(pairs, tips_lps=tips_lps, handles_lps=handles_lps, length_mm=length_mm)
