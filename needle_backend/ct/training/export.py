"""Write trained weights as fp16 safetensors with a model card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle_backend import __version__
from needle_backend.core.weights import hardware, write_weights

if TYPE_CHECKING:
    import torch

    from needle_backend.ct.training.train import TrainSettings


def export_weights(
    state: dict[str, torch.Tensor], settings: TrainSettings, facts: dict[str, Any], folder: Path
) -> Path:
    """Write ``ct_<backbone>.safetensors`` and its card into a folder; return the former's path."""
    card = {
        "task": "ct tip and handle detection",
        "version": __version__,
        "architecture": asdict(settings.network),
        "input": asdict(settings.input),
        "training": {
            **facts,
            "crops": asdict(settings.crops),
            "schedule": asdict(settings.schedule),
            "hardware": hardware(),
        },
    }
    return write_weights(folder / f"ct_{settings.network.backbone}.safetensors", state, card)
