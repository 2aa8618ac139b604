"""The boxes of a frame that are worth a second look."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torchvision.ops import box_convert, nms

from needle_backend.us.network import STRIDES, Answers, decode

MOST_BOXES = 750
"""So many of the most confident boxes are looked at for candidates (TipDet)."""

CANDIDATE_OVERLAP = 0.75
"""A box that overlaps a more confident one by more is no candidate of its own (TipDet)."""

MOST_CANDIDATES = 10
CANDIDATE_NUMBERS = 5
_SUREST_LOGIT = 12.0
_LEAST_DOUBT = 1e-5


@dataclass(frozen=True)
class Candidates:
    """The surest boxes of one frame, the surest first.

    Attributes
    ----------
    boxes
        (m, 4): centre x, centre y, width, height in pixels of the network's input.
    numbers
        (m, CANDIDATE_NUMBERS): logits of confidence, objectness and likeness; logarithms of width
        and height in cells of stride 8.
    cells
        (m, 2): column and row of the cell of stride 8 that holds the centre.
    """

    boxes: torch.Tensor
    numbers: torch.Tensor
    cells: torch.Tensor

    @property
    def confidence(self) -> torch.Tensor:
        """(m,) 0..1, before the second look."""
        return torch.sigmoid(self.numbers[:, 0])


def candidates_of(maps: list[torch.Tensor]) -> list[Candidates]:
    """Choose the candidates of each frame from a network's maps, see :meth:`Yolot.forward`.

    Of the surest boxes that are of different places ten; fewer only where all are of few places.
    """
    answers = decode(maps)
    rows, columns = maps[0].shape[-2:]
    last = torch.tensor([columns - 1, rows - 1], device=answers.cells.device)
    return [_of_frame(answers, frame, last) for frame in range(len(answers.boxes))]


def _of_frame(answers: Answers, frame: int, last_cell: torch.Tensor) -> Candidates:
    logits = confidence_logit(answers.objectness[frame], answers.likeness[frame])
    surest = logits.topk(min(MOST_BOXES, len(logits))).indices
    corners = box_convert(answers.boxes[frame, surest], "cxcywh", "xyxy")
    kept = surest[nms(corners, logits[surest], CANDIDATE_OVERLAP)[:MOST_CANDIDATES]]
    boxes = answers.boxes[frame, kept]
    sizes = torch.log(boxes[:, 2:] / STRIDES[0])
    told = (logits[kept], answers.objectness[frame, kept], answers.likeness[frame, kept])
    cells = torch.minimum((boxes[:, :2] / STRIDES[0]).floor().clamp(min=0), last_cell).long()
    return Candidates(boxes, torch.stack([*told, *sizes.unbind(-1)], dim=-1), cells)


def confidence_logit(objectness: torch.Tensor, likeness: torch.Tensor) -> torch.Tensor:
    """Return the logit of the product of two probabilities, given their logits; float32."""
    sure = F.logsigmoid(objectness.float()) + F.logsigmoid(likeness.float())
    unsure = torch.log(-torch.expm1(sure.clamp(max=-_LEAST_DOUBT)))
    return sure.clamp(min=-_SUREST_LOGIT) - unsure
