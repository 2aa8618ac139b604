"""Train the network of the second look on pairs that detections of known cases leave over.

The detector's mistakes are what it learns from, so the cases that the detector was trained on teach
it less than others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from needle_backend import __version__
from needle_backend.core.device import choose_device
from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions, Needle
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.core.weights import DEFAULT_PAIR_WEIGHTS, find_weights, write_weights
from needle_backend.ct.detect import detect_ends
from needle_backend.ct.detections import read_detections, write_detections
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.pair_network import PairNetwork, PairNetworkSettings, pair_facts
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.score import candidate_pairs, score_detected
from needle_backend.ct.strips import ACROSS_MM, BRIGHTNESS, SLICES, sample_strips, tall_picture
from needle_backend.ct.training.dataset import find_cases
from needle_backend.ct.training.export import hardware
from needle_backend.ct.weights import load_network

Told = Callable[[str], object]

GATE_MM = 5.0
CONTRAST = (0.75, 1.3)
"""Strips are made brighter or darker by such factors, as other metal and blur would."""
NOISE = 0.08
HIDDEN_SHARE = 0.05
"""How often a slice beside the line's own is missing, as at the volume's ends."""
FACT_NOISE = np.array([0.05, 0.05, 0.05, 0.1, 0.1, 0.05, 0.02, 0, 0, 0, 0, *([0.03] * 7)])


@dataclass(frozen=True)
class PairExamples:
    """Examples of pairs: strips (n, channels, places), facts (n, facts), right or wrong (n,)."""

    strips: np.ndarray
    facts: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class PairSchedule:
    """Optimisation."""

    epochs: int = 14
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    seed: int = 1


def train_pairs(
    folders: Sequence[Path], output: Path, weights: str | None = None, told: Told = print
) -> Path:
    """Detect ends in folders of cases, train on the pairs they leave over, export the network.

    Detections are kept in ``output``, so that a stopped run goes on.

    Parameters
    ----------
    folders
        Folders of cases, or cases themselves (ct.nii.gz with truth.json).
    weights
        The detector's weights; None for the shipped ones.
    told
        Called with a line about every epoch.

    Raises
    ------
    InputError
        When a folder holds no case, or no case a pair.
    """
    detector = find_weights(weights)
    network, inputs = load_network(detector, choose_device("auto").device)
    cases = find_cases(folders)
    examples = []
    for place in cases:
        volume = read_volume(place / "ct.nii.gz")
        stored = output / "detections" / f"{place.parent.name}_{place.name}.json"
        if not stored.exists():
            write_detections(stored, detect_ends(network, volume.array, inputs))
        truth = read_truth(place / "truth.json")
        examples.append(pair_examples(volume, read_detections(stored), truth))
    pairs = sum(len(part.right) for part in examples)
    if pairs == 0:
        raise InputError(
            f"The {len(cases)} cases leave no pair to train on; give cases of needles."
        )
    schedule = PairSchedule()
    trained = train_pair_network(examples, schedule, told)
    card = {
        "task": "ct pair scoring",
        "version": __version__,
        "architecture": asdict(trained.settings),
        "training": {
            "data": [folder.name for folder in folders],
            "cases": len(cases),
            "pairs": pairs,
            "detector": detector.name,
            "schedule": asdict(schedule),
            "hardware": hardware(),
        },
    }
    return write_weights(output / f"{DEFAULT_PAIR_WEIGHTS}.safetensors", trained.state_dict(), card)


def pair_examples(volume: Volume, seen: SliceEnds, truth: Sequence[Needle]) -> PairExamples:
    """Return the candidate pairs of one case with known needles."""
    tophat = white_top_hat(volume.array)
    ends = tuple(fuse_over_slices(seen, kind, volume) for kind in (TIP, HANDLE))
    where = (tophat, volume, LocateOptions())
    pairs = candidate_pairs(score_detected(*ends, *where), *ends, *where)
    picture = tall_picture(tophat, "cpu")
    strips = sample_strips(pairs.tips_lps, pairs.handles_lps, picture, volume)
    right = inside_gate(pairs, truth).any(axis=1)
    return PairExamples(strips.half().numpy(), pair_facts(pairs, volume), right)


def inside_gate(pairs: Pairs, truth: Sequence[Needle]) -> np.ndarray:
    """Return which pairs have both ends within the gate of which needle's, (pairs, needles)."""
    tips = np.array([needle.tip_lps for needle in truth], float).reshape(-1, 3)
    handles = np.array([needle.handle_lps for needle in truth], float).reshape(-1, 3)
    near = np.linalg.norm(pairs.tips_lps[:, None] - tips, axis=-1) <= GATE_MM
    return near & (np.linalg.norm(pairs.handles_lps[:, None] - handles, axis=-1) <= GATE_MM)


def train_pair_network(
    examples: Sequence[PairExamples],
    schedule: PairSchedule,
    told: Told,
    settings: PairNetworkSettings | None = None,
) -> PairNetwork:
    """Train a network on examples, telling its mean loss after every epoch."""
    torch.manual_seed(schedule.seed)
    strips = torch.from_numpy(np.concatenate([part.strips for part in examples]))
    facts = torch.from_numpy(np.concatenate([part.facts for part in examples]))
    right = torch.from_numpy(np.concatenate([part.right for part in examples])).float()
    network = PairNetwork(settings or PairNetworkSettings())
    optimizer = torch.optim.AdamW(
        network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    batches = max(1, len(right) // schedule.batch)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=schedule.epochs * batches, pct_start=0.1
    )
    network.train()
    for epoch in range(schedule.epochs):
        total = 0.0
        for index in torch.randperm(len(right))[: batches * schedule.batch].split(schedule.batch):
            varied = _varied(strips[index].float(), facts[index])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(*varied), right[index]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += float(loss.detach())
        told(f"epoch {epoch + 1} of {schedule.epochs}: loss {total / batches:.4f}")
    return network.eval()


def _varied(strips: torch.Tensor, facts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror strips, change their contrast, add noise, hide slices beside the line."""
    count, _, places = strips.shape
    bright = strips[:, :BRIGHTNESS].reshape(count, len(SLICES), len(ACROSS_MM), places)
    between = strips[:, BRIGHTNESS].clone()
    mirrored, turned = torch.rand(count) < 0.5, torch.rand(count) < 0.5
    bright[mirrored] = bright[mirrored].flip(2)
    bright[turned] = bright[turned].flip(1)
    between[turned] = -between[turned]
    hidden = torch.rand(count, len(SLICES)) < HIDDEN_SHARE
    hidden[:, len(SLICES) // 2] = False
    bright = bright * ~hidden[:, :, None, None]
    bright = bright * torch.empty(count, 1, 1, 1).uniform_(*CONTRAST)
    bright = bright + torch.randn_like(bright) * torch.empty(count, 1, 1, 1).uniform_(0, NOISE)
    bright = bright.clamp(min=0).reshape(count, BRIGHTNESS, places)
    where = torch.stack((between, strips[:, BRIGHTNESS + 1]), dim=1)
    facts = facts + torch.randn_like(facts) * torch.from_numpy(FACT_NOISE).float()
    return torch.cat((bright, where), dim=1), facts
