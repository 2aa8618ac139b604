"""How good a network is on squares of labelled sets, and from which confidence on to believe it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_convert, nms

from needle_backend.us.network import Answers, Yolot, decode, maps_both_ways
from needle_backend.us.preprocess import normalised
from needle_backend.us.training.dataset import MOST_TIPS, ImageSet
from needle_backend.us.training.evaluate import (
    ComparedFrame,
    answer_error_px,
    average_precision,
)
from needle_backend.us.training.losses import ImageLosses, image_losses

BATCH = 32
MOST_BOXES = 10
OVERLAP = 0.65
LEAST_CONFIDENCE = 0.001
HIT_PX = 20.0
"""An answer this near the tip is right, in pixels at 640."""
RIGHT_SHARE = 0.9
"""Tips are believed from a confidence on that makes so many of the answers right."""


@dataclass(frozen=True)
class Scores:
    """Average precision (mean over IoU 0.1 to 0.5), and the loss of each set by its name."""

    ap: float
    loss_of_set: dict[str, float]
    frames: tuple[ComparedFrame, ...]


@torch.inference_mode()
def validate(network: Yolot, parts: Sequence[tuple[ImageSet, Sequence[int]]]) -> Scores:
    """Score a network in evaluation mode on some images of some sets."""
    frames: list[ComparedFrame] = []
    losses = {}
    for images, used in parts:
        of_set = []
        for answers, tips, count in _answered(network, images, used):
            of_set.append(image_losses(answers, tips, count))
            frames += _compared(answers, tips, count, images)
        losses[images.name] = _mean_loss(of_set)
    precision = average_precision(frames)
    ap = float(np.mean(list(precision.values()))) if precision else 0.0
    return Scores(ap, losses, tuple(frames))


def _answered(
    network: Yolot, images: ImageSet, used: Sequence[int]
) -> Iterator[tuple[Answers, torch.Tensor, torch.Tensor]]:
    """Yield answers, tips (n, room, 4) and their count (n,), some images at a time."""
    device = next(network.parameters()).device
    squares = images.squares()
    for start in range(0, len(used), BATCH):
        chosen = list(used[start : start + BATCH])
        tips = torch.zeros(len(chosen), MOST_TIPS, 4)
        for row, index in enumerate(chosen):
            tips[row, : len(images.boxes[index])] = torch.from_numpy(images.boxes[index])
        count = torch.tensor([len(images.boxes[index]) for index in chosen])
        grey = normalised(torch.from_numpy(squares[chosen]).to(device))
        answers = decode(
            maps_both_ways(network, grey.contiguous(memory_format=torch.channels_last))
        )
        yield answers, tips.to(device), count.to(device)


def _compared(
    answers: Answers, tips: torch.Tensor, count: torch.Tensor, images: ImageSet
) -> Iterator[ComparedFrame]:
    side = images.squares().shape[-1]
    for row, number in enumerate(count.tolist()):
        boxes, scores = best_boxes(answers.boxes[row], answers.confidence[row])
        true = box_convert(tips[row, :number], "cxcywh", "xywh")
        found = box_convert(boxes, "cxcywh", "xywh")
        yield ComparedFrame(
            (side, side), true.cpu().numpy(), found.cpu().numpy(), scores.cpu().numpy()
        )


def best_boxes(boxes: torch.Tensor, confidence: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the most confident of the boxes (cells, 4) that are not of the same place."""
    sure = torch.nonzero(confidence >= LEAST_CONFIDENCE)[:, 0]
    corners = box_convert(boxes[sure], "cxcywh", "xyxy")
    kept = sure[nms(corners, confidence[sure], OVERLAP)[:MOST_BOXES]]
    return boxes[kept], confidence[kept]


def _mean_loss(losses: Sequence[ImageLosses]) -> float:
    total = sum(float(part.total()) * max(1, int(part.positives.sum())) for part in losses)
    return total / max(1, sum(int(part.positives.sum()) for part in losses))


def operating_threshold(frames: Sequence[ComparedFrame]) -> tuple[float, dict[str, float]]:
    """Choose the confidence from which on the best box of a frame is believed.

    The least from which on :data:`RIGHT_SHARE` of the answers are right, or else the one at which
    most are. An answer is right within :data:`HIT_PX` of a tip; any other is wrong, those in frames
    without a tip too.

    Returns
    -------
    tuple
        The threshold, and the precision, recall and F1 there.
    """
    with_tip = sum(len(frame.true_boxes) > 0 for frame in frames)
    answered = [frame for frame in frames if len(frame.scores)]
    confidence = np.array([frame.scores.max() for frame in answered])
    right = np.array([_is_right(frame) for frame in answered], bool)
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    answers = np.arange(1, len(order) + 1)
    precision = hits / answers
    if not right.any():
        return 0.5, {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    best = int(np.flatnonzero(precision >= min(RIGHT_SHARE, precision.max()))[-1])
    figures = {
        "precision": precision[best],
        "recall": hits[best] / with_tip,
        "f1": 2 * hits[best] / (answers[best] + with_tip),
    }
    # Halfway to the next weaker answer, so that rounding decides nothing.
    weaker = confidence[order[best + 1]] if best + 1 < len(order) else 0.0
    threshold = (confidence[order[best]] + weaker) / 2
    return float(threshold), {name: round(float(value), 4) for name, value in figures.items()}


def _is_right(frame: ComparedFrame) -> bool:
    error = answer_error_px(frame) if len(frame.true_boxes) else None
    return error is not None and error <= HIT_PX
