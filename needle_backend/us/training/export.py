"""Write trained weights as fp16 safetensors with a model card."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from needle_backend import __version__
from needle_backend.core.weights import (
    DEFAULT_US_WEIGHTS,
    hardware,
    in_half_precision,
    write_weights,
)
from needle_backend.us.detect import for_prediction
from needle_backend.us.network import STRIDES, Yolot, decode, maps_both_ways
from needle_backend.us.preprocess import MEAN, STANDARD_DEVIATION, normalised
from needle_backend.us.training.dataset import ImageSet
from needle_backend.us.training.validate import operating_threshold, validate

if TYPE_CHECKING:
    from needle_backend.us.training.train import TrainSettings

STATEMENT = (
    "Trained on simulated and synthetic needles. No clinical case has been tested. "
    "Not a medical device."
)
AGREE_IMAGES = 240
AGREE_PX, AGREE_CONFIDENCE, SOME_CONFIDENCE = 2.0, 0.05, 0.2


def export_weights(
    state: dict[str, torch.Tensor],
    settings: TrainSettings,
    held: Sequence[tuple[ImageSet, Sequence[int]]],
    facts: dict[str, Any],
    folder: Path,
) -> Path:
    """Write ``us_yolot.safetensors`` and its card into a folder; return the former's path.

    The threshold and whether bf16 may be used are found on the images held out, with the very
    weights that are written.
    """
    shipped = in_half_precision(state)
    network = Yolot().eval()
    network.load_state_dict(shipped)
    scores = validate(network, held)
    threshold, figures = operating_threshold(scores.frames)
    agreement = bf16_agreement(network, held)
    card = {
        "task": "us tip detection",
        "version": __version__,
        "architecture": {
            "network": "YOLOT (YOLOX-Nano's CSPDarknet to stride 16, decoupled head)",
            "parameters": sum(value.numel() for value in network.parameters()),
            "strides": list(STRIDES),
        },
        "input": {"size_px": settings.input_px, "mean": MEAN, "sd": STANDARD_DEVIATION},
        "threshold": round(threshold, 4),
        "bf16": agreement["agrees"],
        "statement": STATEMENT,
        "training": {
            **facts,
            "augment": asdict(settings.augment),
            "schedule": asdict(settings.schedule),
            "hardware": hardware(),
        },
        "figures": {
            "validation": {"ap_01_05": round(scores.ap, 4), "at_threshold": figures},
            "bf16_against_float32": agreement,
        },
    }
    return write_weights(folder / f"{DEFAULT_US_WEIGHTS}.safetensors", shipped, card)


@torch.inference_mode()
def bf16_agreement(
    network: Yolot, held: Sequence[tuple[ImageSet, Sequence[int]]]
) -> dict[str, float | bool]:
    """Compare the best box of some images in bf16 with that in float32.

    They agree when on 19 of 20 images the confidence changes by at most 0.05, and where there is
    some the centre moves by at most 2 pixels of the input; where two boxes are equally good,
    rounding may choose the other.
    """
    full, half = (for_prediction(copy.deepcopy(network), bf16) for bf16 in (False, True))
    places = [(images, index) for images, used in held for index in used]
    chosen = np.unique(np.linspace(0, len(places) - 1, AGREE_IMAGES).astype(int))
    moved, changed = [], []
    for images, index in (places[number] for number in chosen):
        grey = normalised(torch.tensor(images.squares()[index])[None])
        ours = decode(maps_both_ways(full, grey))
        theirs = decode(maps_both_ways(half, grey.bfloat16()))
        best = [one.confidence[0].argmax() for one in (ours, theirs)]
        centres = [one.boxes[0, at, :2] for one, at in zip((ours, theirs), best, strict=True)]
        if float(ours.confidence.max()) >= SOME_CONFIDENCE:
            moved.append(float((centres[0] - centres[1]).norm()))
        changed.append(abs(float(ours.confidence.max() - theirs.confidence.max())))
    moved_px, confidence = (float(np.quantile([0.0, *v], 0.95)) for v in (moved, changed))
    return {
        "images": len(chosen),
        "moved_px_p95": round(moved_px, 3),
        "confidence_p95": round(confidence, 4),
        "agrees": moved_px <= AGREE_PX and confidence <= AGREE_CONFIDENCE,
    }
