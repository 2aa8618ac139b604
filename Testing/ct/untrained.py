"""Weights of a small network that has learnt nothing: enough to go through every step."""

from pathlib import Path

import torch

from needle_backend.ct.network import NetworkSettings, TipHandleNetwork
from needle_backend.ct.training.export import export_weights
from needle_backend.ct.training.train import TrainSettings


def write_untrained_weights(folder: Path) -> Path:
    """Write a weights file and its card into a folder; return the former's path."""
    torch.manual_seed(1)
    settings = TrainSettings(network=NetworkSettings(width=8, head_width=8))
    return export_weights(TipHandleNetwork(settings.network).state_dict(), settings, {}, folder)
