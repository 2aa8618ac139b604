"""Loss of YOLOT: 5 x IoU + objectness + likeness, over the cells that SimOTA chose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from needle_backend.us.network import Answers
from needle_backend.us.training.simota import Assignment, assign, iou

OVERLAP_WEIGHT = 5.0


@dataclass(frozen=True)
class ImageLosses:
    """Sums (n,) of each image, to be divided by the number of positive cells of all of them."""

    overlap: torch.Tensor
    objectness: torch.Tensor
    likeness: torch.Tensor
    positives: torch.Tensor

    def total(self, chosen: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Weighted loss of some of the images, a mean over their positive cells."""
        weighted = OVERLAP_WEIGHT * self.overlap + self.objectness + self.likeness
        return weighted[chosen].sum() / self.positives[chosen].sum().clamp(min=1)


def image_losses(answers: Answers, tips: torch.Tensor, count: torch.Tensor) -> ImageLosses:
    """Compare answers with the tips (n, room, 4) of each image, of which ``count`` (n,) are used.

    YOLOX's terms: 1 - IoU squared; cross entropy of the objectness at every cell; cross entropy of
    the likeness at positive cells, whose target is the overlap.
    """
    tips = tips[:, : max(1, int(count.max()))]
    chosen = assign(answers, tips, count)
    return ImageLosses(
        overlap=_overlap_loss(answers.boxes, tips, chosen),
        objectness=_entropy(answers.objectness, chosen.positive.float()).sum(1),
        likeness=(_entropy(answers.likeness, chosen.overlap) * chosen.positive).sum(1),
        positives=chosen.positive.sum(1),
    )


def _overlap_loss(boxes: torch.Tensor, tips: torch.Tensor, chosen: Assignment) -> torch.Tensor:
    image, cell = torch.nonzero(chosen.positive, as_tuple=True)
    overlap = iou(boxes[image, cell], tips[image, chosen.tip[image, cell]])
    return boxes.new_zeros(len(boxes)).index_add(0, image, 1 - overlap**2)


def _entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
