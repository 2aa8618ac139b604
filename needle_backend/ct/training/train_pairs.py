"""Train the network that reads strips, on pairs that detections of known cases leave over.

It learns to tell needles from wrong pairs, and how far a right pair's ends lie from the true ones.

The detector's mistakes are what it learns from, so the cases that the detector was trained on teach
it less than others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from needle_backend import __version__
from needle_backend.core.device import choose_device
from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions, Needle
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.core.weights import (
    DEFAULT_PAIR_WEIGHTS,
    WeightsFile,
    find_weights,
    hardware,
    write_weights,
)
from needle_backend.ct.detect import detect_ends
from needle_backend.ct.detections import read_detections, write_detections
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.pair_network import (
    FACTS,
    OFFSETS,
    PairNetwork,
    PairNetworkSettings,
    load_pair_network,
)
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import candidate_pairs, score_detected
from needle_backend.ct.second_look import (
    look_at,
    needle_axes,
    pair_facts,
    with_corrected_ends,
)
from needle_backend.ct.strips import ACROSS_MM, BRIGHTNESS, SLICES, sample_strips
from needle_backend.ct.training.dataset import find_cases
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
    """Examples of pairs, n of them.

    Attributes
    ----------
    strips, facts
        What the network reads, (n, places, channels) and (n, facts).
    right
        Whether each is a needle, (n,).
    offsets_mm
        Where the true ends lie, (n, 6), as :data:`needle_backend.ct.pair_network.OFFSETS` tells; of
        right pairs only.
    """

    strips: np.ndarray
    facts: np.ndarray
    right: np.ndarray
    offsets_mm: np.ndarray


@dataclass(frozen=True)
class PairSchedule:
    """Optimisation."""

    epochs: int = 22
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    seed: int = 1


OFFSET_BETA_MM = 0.5
"""Errors of offsets below this count squared, above it by their size."""
OFFSET_WEIGHT = 3.0
"""What a mm of offset counts beside the logarithm of a likelihood."""


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

    Returns
    -------
    Path
        The weights.

    Raises
    ------
    InputError
        When a folder holds no case, or no case a pair.
    """
    detector = find_weights(weights)
    cases = find_cases(folders)
    before = load_pair_network(None, "cpu")
    examples = [_case_examples(case, output, detector, before) for case in cases]
    right = sum(int(part.right.sum()) for part in examples)
    if right == 0:
        raise InputError(f"No pair to train on in {len(cases)} cases; give cases with needles.")
    schedule = PairSchedule()
    network = train_pair_network(examples, schedule, told)
    training = {
        "data": [folder.name for folder in folders],
        "cases": len(cases),
        "pairs": sum(len(part.right) for part in examples),
        "right_pairs": right,
        "detector": detector.name,
        "schedule": asdict(schedule),
        "hardware": hardware(),
    }
    card = {
        "task": "ct pair scoring",
        "version": __version__,
        "architecture": asdict(network.settings),
        "training": training,
    }
    path = output / f"{DEFAULT_PAIR_WEIGHTS}.safetensors"
    return write_weights(path, network.state_dict(), card)


def _case_examples(
    place: Path, output: Path, detector: WeightsFile, before: PairNetwork
) -> PairExamples:
    volume = read_volume(place / "ct.nii.gz")
    stored = output / "detections" / f"{place.parent.name}_{place.name}.json"
    if not stored.exists():
        network, inputs = load_network(detector, choose_device("auto").device)
        write_detections(stored, detect_ends(network, volume.array, inputs))
    return pair_examples(volume, read_detections(stored), read_truth(place / "truth.json"), before)


def pair_examples(
    volume: Volume, seen: SliceEnds, truth: Sequence[Needle], before: PairNetwork
) -> PairExamples:
    """Return the candidate pairs of one case with known needles.

    Each stands there twice: as it is, and with its ends put right by the network ``before``, for so
    it is judged again.
    """
    tophat = TopHat.of(white_top_hat(volume.array), volume)
    ends = tuple(fuse_over_slices(seen, kind, volume) for kind in (TIP, HANDLE))
    where = (tophat, LocateOptions())
    found = candidate_pairs(score_detected(*ends, *where), *ends, *where)
    offsets_mm = look_at(found, tophat, before).offsets_mm
    pairs = found.joined(with_corrected_ends(found, offsets_mm))
    strips = sample_strips(pairs.tips_lps, pairs.handles_lps, tophat)
    inside = inside_gate(pairs, truth)
    right = inside.any(axis=1)
    offsets_mm = np.zeros((len(pairs), OFFSETS), np.float32)
    if right.any():
        of_pair = [truth[number] for number in inside[right].argmax(axis=1)]
        offsets_mm[right] = _offsets_mm(pairs.take(right), of_pair)
    return PairExamples(strips.half().numpy(), pair_facts(pairs, volume), right, offsets_mm)


def _offsets_mm(pairs: Pairs, truth: Sequence[Needle]) -> np.ndarray:
    """Return where each pair's true needle has its ends, along the pair's own axes."""
    along, across, _ = np.moveaxis(needle_axes(pairs), 1, 0)
    tips = np.array([needle.tip_lps for needle in truth], float).reshape(-1, 3)
    handles = np.array([needle.handle_lps for needle in truth], float).reshape(-1, 3)
    offsets = []
    for apart in (tips - pairs.tips_lps, handles - pairs.handles_lps):
        on_axis = (apart * along).sum(axis=1)
        offsets += [on_axis, (apart * across).sum(axis=1), apart[:, 2] - on_axis * along[:, 2]]
    return np.stack(offsets, axis=1)


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
    """Train a network to tell right pairs from wrong ones, and where the right ones' ends lie."""
    torch.manual_seed(schedule.seed)
    network = PairNetwork(settings or PairNetworkSettings())
    strips, facts, right, offsets_mm = _joined(examples)

    def loss(index: torch.Tensor) -> torch.Tensor:
        varied, wanted_mm = _varied(strips[index].float(), offsets_mm[index])
        noise = torch.randn(len(index), FACTS) * torch.from_numpy(FACT_NOISE).float()
        log_odds, told_mm = network(varied, facts[index] + noise)
        needle = right[index]
        telling = functional.binary_cross_entropy_with_logits(log_odds, needle.float())
        off = functional.smooth_l1_loss(
            told_mm[needle], wanted_mm[needle], beta=OFFSET_BETA_MM, reduction="sum"
        )
        return telling + OFFSET_WEIGHT * off / (OFFSETS * needle.sum().clamp(min=1))

    _optimise(network, loss, len(right), schedule, told)
    return network.eval()


def _joined(examples: Sequence[PairExamples]) -> tuple[torch.Tensor, ...]:
    """Return strips, facts, right and offsets of all examples."""
    names = ("strips", "facts", "right", "offsets_mm")
    return tuple(torch.from_numpy(np.concatenate([vars(e)[n] for e in examples])) for n in names)


def _optimise(
    network: torch.nn.Module,
    loss: Callable[[torch.Tensor], torch.Tensor],
    count: int,
    schedule: PairSchedule,
    told: Told,
) -> None:
    """Minimise the loss of batches of indices below ``count``."""
    optimizer = torch.optim.AdamW(
        network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    batches = max(1, count // schedule.batch)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=schedule.epochs * batches, pct_start=0.1
    )
    network.train()
    for epoch in range(schedule.epochs):
        total = 0.0
        for index in torch.randperm(count)[: batches * schedule.batch].split(schedule.batch):
            value = loss(index)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            rates.step()
            total += float(value.detach())
        told(f"epoch {epoch + 1} of {schedule.epochs}: loss {total / batches:.4f}")


def _varied(strips: torch.Tensor, offsets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror strips with their offsets, change contrast, add noise, hide slices beside the line."""
    count, places, _ = strips.shape
    bright = strips[..., :BRIGHTNESS].reshape(count, places, len(SLICES), len(ACROSS_MM))
    where, offsets = strips[..., BRIGHTNESS:].clone(), offsets.clone().reshape(count, 2, 3)
    mirrored, turned = torch.rand(count) < 0.5, torch.rand(count) < 0.5
    bright[mirrored] = bright[mirrored].flip(3)
    bright[turned] = bright[turned].flip(2)
    where[turned, :, 0] *= -1
    offsets[mirrored, :, 1] *= -1
    offsets[turned, :, 2] *= -1
    hidden = torch.rand(count, 1, len(SLICES), 1) < HIDDEN_SHARE
    hidden[:, :, len(SLICES) // 2] = False
    bright = bright * ~hidden * torch.empty(count, 1, 1, 1).uniform_(*CONTRAST)
    bright = bright + torch.randn_like(bright) * torch.empty(count, 1, 1, 1).uniform_(0, NOISE)
    bright = bright.clamp(min=0).reshape(count, places, BRIGHTNESS)
    return torch.cat((bright, where), dim=2), offsets.reshape(count, OFFSETS)
