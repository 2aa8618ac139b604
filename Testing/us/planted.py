"""A network that has learnt nothing but where tips were planted, and a detector with it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from needle_backend.core.weights import sha256_of
from needle_backend.us.network import Yolot, mirrored


def write_untrained_weights(folder: Path, input_px: int = 64, threshold: float = 0.3) -> Path:
    """Write a weights file and its card into a folder; return the former's path."""
    torch.manual_seed(1)
    path = folder / "us_untrained.safetensors"
    save_file(Yolot().state_dict(), path)
    card = {
        "name": path.stem,
        "sha256": sha256_of(path),
        "input": {"size_px": input_px},
        "threshold": threshold,
        "bf16": False,
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


class Planted(Yolot):
    """Answers with boxes at stride 8: (column, row, dx, dy, log width, log height, confidence).

    dx and dy are in cells from the cell's corner; what was not planted has no confidence.
    """

    def __init__(self, *planted: tuple[float, ...]) -> None:
        super().__init__()
        self.planted = planted

    def forward(self, grey):
        cells = grey.shape[-1] // 8
        fine, coarse = torch.zeros(1, 6, cells, cells), torch.zeros(1, 6, cells // 2, cells // 2)
        fine[:, 4:], coarse[:, 4:] = -20.0, -20.0
        for column, row, *box, confidence in self.planted:
            each = torch.logit(torch.tensor(confidence).sqrt())
            values = torch.tensor([*box, each, each])
            fine[0, :, row, column] = values
            coarse[0, :, row // 2, column // 2] = torch.tensor([0, 0, 0, 0, each, each]) - 6
        if len(grey) == 1:
            return [fine, coarse]
        # The picture and its mirror image.
        return [torch.cat([fine, mirrored(fine, 8)]), torch.cat([coarse, mirrored(coarse, 16)])]
