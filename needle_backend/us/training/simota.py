"""SimOTA: which cells answer for which tip (Ge et al. 2021, YOLOX, section 2), for a whole batch.

Each tip takes as many cells as its ten best overlapping boxes are worth together, the cheapest
first; a cell that several tips want answers for the one it is cheapest for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from needle_backend.us.network import Answers

OVERLAP_WEIGHT = 3.0
OUTSIDE_COST = 1e6
CENTRE_RADIUS_CELLS = 2.5
MOST_CELLS = 10


@dataclass(frozen=True)
class Assignment:
    """What each cell has to learn.

    Attributes
    ----------
    positive
        (n, cells) bool: the cell answers for a tip.
    tip
        (n, cells): the tip's number in its image; 0 elsewhere.
    overlap
        (n, cells): IoU of the cell's box with that tip's; 0 elsewhere.
    """

    positive: torch.Tensor
    tip: torch.Tensor
    overlap: torch.Tensor


@torch.no_grad()
def assign(answers: Answers, tips: torch.Tensor, count: torch.Tensor) -> Assignment:
    """Choose the cells that answer for each tip.

    Parameters
    ----------
    answers
        Of n images.
    tips
        (n, room, 4) boxes: centre x, centre y, width, height in the network's pixels.
    count
        (n,): how many of the rows are tips.
    """
    near, central = _places(answers.cells, tips)
    used = torch.arange(tips.shape[1], device=tips.device) < count[:, None]
    allowed = near & used[..., None]
    overlap = pairwise_iou(tips, answers.boxes)
    cost = _cost(answers, overlap) + OUTSIDE_COST * ~central
    cost = torch.where(allowed, cost, torch.inf)

    most = min(MOST_CELLS, cost.shape[-1])
    worth = (overlap * allowed).topk(most, dim=-1).values.sum(-1).int().clamp(min=1)
    cheapest = cost.topk(most, dim=-1, largest=False)
    rank = torch.arange(most, device=tips.device)
    taken = (rank < worth[..., None]) & cheapest.values.isfinite()
    wanted = torch.zeros_like(allowed).scatter_(-1, cheapest.indices, taken)
    tip = torch.where(wanted, cost, torch.inf).argmin(dim=1)
    positive = wanted.any(dim=1)
    of_tip = overlap.gather(1, tip[:, None])[:, 0]
    return Assignment(positive, tip * positive, of_tip * positive)


def _places(cells: torch.Tensor, tips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell which cells are near each tip at all, and which are in its very centre."""
    centre, stride = cells[:, :2], cells[:, 2]
    away = (tips[:, :, None, :2] - centre).abs()
    in_box = (away < tips[:, :, None, 2:] / 2).all(-1)
    in_centre = (away < CENTRE_RADIUS_CELLS * stride[:, None]).all(-1)
    return in_box | in_centre, in_box & in_centre


def _cost(answers: Answers, overlap: torch.Tensor) -> torch.Tensor:
    # Binary cross entropy of sqrt(objectness x likeness) against 1.
    doubt = -0.5 * (F.logsigmoid(answers.objectness) + F.logsigmoid(answers.likeness))
    return doubt[:, None] - OVERLAP_WEIGHT * torch.log(overlap + 1e-8)


def pairwise_iou(ours: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each of (n, a, 4) with each of (n, b, 4) -> (n, a, b)."""
    return iou(ours[:, :, None], others[:, None])


def iou(ours: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (..., 4): centre x, centre y, width, height."""
    low = torch.maximum(ours[..., :2] - ours[..., 2:] / 2, others[..., :2] - others[..., 2:] / 2)
    high = torch.minimum(ours[..., :2] + ours[..., 2:] / 2, others[..., :2] + others[..., 2:] / 2)
    shared = (high - low).clamp(min=0).prod(-1)
    both = ours[..., 2:].prod(-1) + others[..., 2:].prod(-1) - shared
    return shared / both.clamp(min=1e-9)
