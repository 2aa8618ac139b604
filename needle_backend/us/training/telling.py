"""How good generated tip patches are: whether they can be told from real ones, or are copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from needle_backend.core.errors import InputError
from needle_backend.us.training.patches import (
    TipPatches,
    hold_out,
    joined,
    read_patch_folder,
    read_patches,
    to_network,
)


@dataclass(frozen=True)
class TellingSettings:
    """The classifier that tries to tell, fixed before any patch was generated."""

    folds: int = 5
    epochs: int = 15
    batch: int = 64
    learning_rate: float = 1e-3
    most_patches: int = 1000


def evaluate_tips(
    generated: Path,
    data: list[Path],
    held_out_share: float,
    split_seed: int,
    seeds: list[int],
    fresh: Sequence[Path] = (),
    settings: TellingSettings | None = None,
    least_contrast: float = 0.0,
) -> dict[str, Any]:
    """Compare generated patches with those the generator was not trained on.

    Parameters
    ----------
    generated
        Folder of generated patches.
    data
        What the generator was trained on: split as it was then.
    held_out_share, split_seed
        Of that split, as the generator's recipe has them.
    seeds
        Of the classifier; each gives one area under the curve.
    fresh
        Folders of labelled tips that were never trained on, held out as well.
    least_contrast
        Of the simulated tips to compare with, as the generator's recipe has it.

    Returns
    -------
    dict
        ``auc`` (0.5: nobody can tell them apart), ``auc_control`` (training against held-out
        patches: far from 0.5, the held-out sequences are too few to judge by), ``distance`` to the
        nearest training patch.

    Raises
    ------
    InputError
        When patches cannot be read, or there are too few of them or of their sequences.
    """
    settings = settings or TellingSettings()
    fit, held = hold_out(read_patches(data, least_contrast), held_out_share, split_seed)
    if fresh:
        held = joined(held, read_patches(fresh, least_contrast))
    made = read_patch_folder(generated)
    groups = len(set(held.sequences))
    if groups < settings.folds or len(made) < settings.folds:
        raise InputError(
            f"{len(made)} generated patches and {groups} held-out sequences are too few to "
            f"cross-validate; give at least {settings.folds} of each."
        )
    auc = [telling_auc(made, held, settings, seed) for seed in seeds]
    control = [telling_auc(fit.images, held, settings, seed) for seed in seeds]
    return {
        "patches": {"generated": len(made), "held_out": len(held), "training": len(fit)},
        "auc": _spread(auc),
        "auc_control": _spread(control),
        "distance": distances(made, held.images, fit.images),
        "seeds": seeds,
        "classifier": asdict(settings),
    }


def telling_auc(
    others: np.ndarray, real: TipPatches, settings: TellingSettings, seed: int
) -> float:
    """Area under the ROC curve of a small network that tells ``others`` from real patches.

    Cross-validated: every patch is judged by a network that has seen neither it nor another patch
    of its sequence. Both classes are thinned to the same number.

    Parameters
    ----------
    others
        uint8, (n, 64, 64).
    """
    rng = np.random.default_rng(seed)
    count = min(len(others), len(real), settings.most_patches)
    real = real.take(rng.permutation(len(real))[:count])
    others = others[rng.permutation(len(others))[:count]]
    images = torch.from_numpy(to_network(np.concatenate([others, real.images])))
    is_real = torch.arange(2 * count) >= count
    fold = np.concatenate(
        [np.arange(count) % settings.folds, _fold_of_sequence(real, settings.folds, rng)]
    )
    scores = np.zeros(2 * count)
    for number in range(settings.folds):
        test = torch.from_numpy(fold == number)
        network = _trained(images[~test], is_real[~test], settings, seed * settings.folds + number)
        with torch.inference_mode():
            scores[test.numpy()] = rankdata(network(images[test])[:, 0].numpy()) / int(test.sum())
    return area_under_curve(scores, is_real.numpy())


def area_under_curve(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann-Whitney)."""
    positives = int(is_positive.sum())
    negatives = len(scores) - positives
    ranks = rankdata(scores)[is_positive].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def distances(generated: np.ndarray, held: np.ndarray, training: np.ndarray) -> dict[str, Any]:
    """Root-mean-square difference, in grey levels, to the nearest training patch.

    Generated patches that are copies lie nearer to a training patch than held-out ones do.

    Returns
    -------
    dict
        Median and fifth percentile of both, and the share of generated patches nearer than all
        but one in a hundred held-out ones (0.01 where they are as far).
    """
    ours, theirs = nearest(generated, training), nearest(held, training)
    return {
        "generated": _percentiles(ours),
        "held_out": _percentiles(theirs),
        "share_nearer_than_held_out_1_percent": float((ours < np.percentile(theirs, 1)).mean()),
        "unit": "grey levels of 255, root mean square",
    }


def nearest(patches: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Distance of each patch to the nearest training patch, in grey levels, (n,)."""
    flat, known = (
        torch.from_numpy(images.reshape(len(images), -1).astype(np.float32))
        for images in (patches, training)
    )
    squares = [torch.cdist(part, known).amin(1) for part in flat.split(256)]
    return torch.cat(squares).numpy() / np.sqrt(flat.shape[1])


def _fold_of_sequence(real: TipPatches, folds: int, rng: np.random.Generator) -> np.ndarray:
    names = rng.permutation(sorted(set(real.sequences)))
    fold = {name: index % folds for index, name in enumerate(names)}
    return np.array([fold[name] for name in real.sequences])


def _trained(
    images: torch.Tensor, is_real: torch.Tensor, settings: TellingSettings, seed: int
) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _classifier()
        optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
        for _ in range(settings.epochs):
            for batch in torch.randperm(len(images)).split(settings.batch):
                if len(batch) == 1:  # has no variance to normalise by
                    continue
                logits = network(images[batch])[:, 0]
                loss = functional.binary_cross_entropy_with_logits(logits, is_real[batch].float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return network.eval()


def _classifier() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside in ((1, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))


def _spread(values: list[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values)), "each": values}


def _percentiles(values: np.ndarray) -> dict[str, float]:
    low, middle = np.percentile(values, [5, 50])
    return {"percentile_5": float(low), "median": float(middle)}
