"""Go on with a training where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

RECENT = "recent.ckpt"
"""The checkpoint of a training's folder that the next run goes on from."""


class Trainer(Protocol):
    """Lightning's, which is there for training only."""

    def fit(self, *parts: Any, **options: Any) -> None:
        """Train a module with a loader."""


def fit_on(
    trainer: Trainer,
    module: torch.nn.Module,
    loader: DataLoader[Any],
    output: Path,
    held: DataLoader[Any] | None = None,
) -> None:
    """Train from the folder's recent checkpoint, from the beginning where there is none.

    Parameters
    ----------
    held
        What the module validates batch by batch; without it the module is asked to validate once an
        epoch, and has what it needs.
    """
    recent = output / RECENT
    trainer.fit(
        module,
        loader,
        DataLoader([0]) if held is None else held,
        ckpt_path=recent if recent.exists() else None,
        weights_only=True,
    )
