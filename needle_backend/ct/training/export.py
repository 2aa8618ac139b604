"""Write trained weights as fp16 safetensors with a model card."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from needle_backend import __version__
from needle_backend.core.weights import sha256_of

if TYPE_CHECKING:
    from needle_backend.ct.training.train import TrainSettings


def export_weights(
    state: dict[str, torch.Tensor], settings: TrainSettings, facts: dict[str, Any], folder: Path
) -> Path:
    """Write ``ct_<backbone>.safetensors`` and its card into a folder; return the former's path."""
    path = folder / f"ct_{settings.network.backbone}.safetensors"
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }
    unfinished = path.with_suffix(".unfinished")
    save_file(tensors, unfinished)
    unfinished.rename(path)
    card = {
        "name": path.stem,
        "task": "ct tip and handle detection",
        "version": __version__,
        "sha256": sha256_of(path),
        "architecture": asdict(settings.network),
        "input": asdict(settings.input),
        "training": {
            **facts,
            "crops": asdict(settings.crops),
            "schedule": asdict(settings.schedule),
            "hardware": f"{platform.processor() or platform.machine()}, "
            f"{'CUDA' if torch.cuda.is_available() else 'CPU'}, torch {torch.__version__}",
        },
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path
