"""Loss of the tip-handle network: 2 x focal + 1 x offset + 1 x angle (Xiao et al. 2025)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

FOCAL_WEIGHT, OFFSET_WEIGHT, ANGLE_WEIGHT = 2.0, 1.0, 1.0


def focal_loss(logits: torch.Tensor, heatmap: torch.Tensor) -> torch.Tensor:
    """CornerNet's focal loss (Law and Deng 2018, eq. 1), alpha 2, beta 4, per end."""
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    p = torch.sigmoid(logits)
    positive = heatmap.eq(1.0)
    at_ends = ((1 - p) ** 2 * log_p)[positive].sum()
    elsewhere = (p**2 * log_not_p * (1 - heatmap) ** 4)[~positive].sum()
    return -(at_ends + elsewhere) / positive.sum().clamp(min=1)


def offset_loss(offset: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of the position within the cell, mean over ends."""
    return F.smooth_l1_loss(offset, target, beta=0.1, reduction="sum") / max(1, len(target))


def angle_loss(direction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - cos(error) between unit vectors."""
    return (1 - (direction * target).sum(1)).sum() / max(1, len(target))
