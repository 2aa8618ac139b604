"""The tip-handle network: HRNet, a shared trunk, and three heads with deformable convolutions.

Xiao et al. 2025 (arXiv 2509.17931): heatmaps of handles and tips at stride 4, sub-cell offsets, and
the polar angle towards the needle's other end. Here the angle head gives (cos, sin) by default,
which has no jump at 180 degrees, and offset and angle are computed only at the cells that are asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass

import timm
import torch
import torch.nn.functional as F
from torch import nn

HEATMAP_STRIDE = 4


@dataclass(frozen=True)
class NetworkSettings:
    """Architecture: everything needed to rebuild a network before its weights are loaded.

    ``backbone`` is any of timm's HRNets by name (``hrnet_w18_small``, ``hrnet_w18``,
    ``hrnet_w32``); ``width`` the channels of the trunk (256 as published, 64 for a CPU);
    ``head_width`` those that the deformable convolutions see. ``angle_outputs`` is 2 for (cos, sin)
    of the polar angle, or 1 for the angle itself in radians, as published.
    """

    backbone: str = "hrnet_w18_small"
    width: int = 64
    head_width: int = 32
    channels: int = 6
    angle_outputs: int = 2


class TipHandleNetwork(nn.Module):
    """Feature maps and heatmaps for whole slices; offset and angle at chosen cells."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = timm.create_model(
            settings.backbone,
            pretrained=False,
            features_only=True,
            feature_location="",
            out_indices=(1, 2, 3, 4),
            in_chans=settings.channels,
        )
        widths = self.backbone.feature_info.channels()
        self.trunk = Trunk(widths, settings.width, settings.head_width)
        self.heatmap_head = DeformableHead(settings.head_width, 2)
        self.offset_head = DeformableHead(settings.head_width, 2)
        self.angle_head = DeformableHead(settings.head_width, settings.angle_outputs)
        # Few cells hold an end: start from a low probability (Lin et al. 2017, focal loss).
        nn.init.constant_(self.heatmap_head.out.bias, -2.19)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """Map (n, channels, rows, columns) to (n, head_width, rows / 4, columns / 4) float32."""
        return self.trunk(self.backbone(image)).float()

    def heatmap_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of (handle, tip) at every cell, (n, 2, rows / 4, columns / 4)."""
        return self.heatmap_head(features)

    def offset_at(self, features: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Position within the cells, (m, 2) = (x, y) in 0..1, for ``cells`` (m, 3) = (n, y, x)."""
        return torch.sigmoid(self.offset_head.at(features, cells))

    def direction_at(self, features: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Unit vectors (cos, sin) of the polar angle at the cells, (m, 2)."""
        answer = self.angle_head.at(features, cells)
        if self.settings.angle_outputs == 1:
            return torch.cat([torch.cos(answer), torch.sin(answer)], dim=1)
        return F.normalize(answer, dim=1)


class Trunk(nn.Module):
    """Join the four scales at stride 4, then three (convolution, BN, ReLU).

    The first convolution is 1 x 1, so it is applied to each scale before upsampling and summed: the
    same as concatenating the upsampled scales, at a sixteenth of the cost for most of them.
    """

    def __init__(self, widths: list[int], width: int, out_width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(w, width, 1, bias=False) for w in widths)
        self.joined = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, out_width, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_width),
            nn.ReLU(inplace=True),
        )

    def forward(self, scales: list[torch.Tensor]) -> torch.Tensor:
        """Map the backbone's four feature maps to one at the finest of their sizes."""
        size = scales[0].shape[-2:]
        maps = [conv(scale) for conv, scale in zip(self.lateral, scales, strict=True)]
        joined = maps[0]
        for scaled in maps[1:]:
            joined = joined + F.interpolate(scaled, size, mode="bilinear", align_corners=False)
        return self.mix(self.joined(joined))


class DeformableHead(nn.Module):
    """A 3 x 3 deformable convolution (Dai et al. 2017), ReLU, and a 1 x 1 convolution.

    Nine bilinear taps and a matrix product: equal to torchvision's operator, several times faster
    on a CPU, and float32 throughout whatever the autocast, because positions need it.
    """

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__()
        self.offset = nn.Conv2d(width, 18, 3, padding=1)
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        self.bias = nn.Parameter(torch.zeros(width))
        self.out = nn.Conv2d(width, out_channels, 1)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Evaluate at every cell: (n, width, h, w) -> (n, out_channels, h, w)."""
        with torch.autocast(features.device.type, enabled=False):
            offset = self.offset(features)
            rows, columns = features.shape[-2:]
            y, x = _cell_centres(rows, columns, features)
            total: torch.Tensor = self.bias.view(1, -1, 1, 1)
            for tap in range(9):
                dy, dx = tap // 3 - 1, tap % 3 - 1
                at_y = y + dy + offset[:, 2 * tap]
                at_x = x + dx + offset[:, 2 * tap + 1]
                sampled = _sample(features, at_y, at_x)
                kernel = self.weight[:, :, tap // 3, tap % 3]
                total = total + F.conv2d(sampled, kernel[:, :, None, None])
            return self.out(F.relu(total))

    def at(self, features: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Evaluate at some cells only: ``cells`` (m, 3) = (n, y, x) -> (m, out_channels)."""
        with torch.autocast(features.device.type, enabled=False):
            near = _neighbourhood(features, cells)
            offset = torch.einsum("mckl,ockl->mo", near, self.offset.weight) + self.offset.bias
            tap = torch.arange(9, device=features.device)
            at_y = cells[:, 1:2] + tap // 3 - 1 + offset[:, 0::2]
            at_x = cells[:, 2:3] + tap % 3 - 1 + offset[:, 1::2]
            sampled = _sample_points(features, cells[:, 0], at_y, at_x)
            value = torch.einsum("mtc,oct->mo", sampled, self.weight.flatten(2)) + self.bias
            return F.relu(value) @ self.out.weight[:, :, 0, 0].T + self.out.bias


def _cell_centres(rows: int, columns: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(rows, device=like.device, dtype=like.dtype).view(1, rows, 1)
    x = torch.arange(columns, device=like.device, dtype=like.dtype).view(1, 1, columns)
    return y, x


def _sample(features: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Bilinear samples at cell coordinates (n, h, w); zero outside, as a padded convolution."""
    rows, columns = features.shape[-2:]
    grid = torch.stack([(2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1], dim=-1)
    return F.grid_sample(features, grid, align_corners=False)


def _neighbourhood(features: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """The 3 x 3 cells around each cell, (m, width, 3, 3); zero outside."""
    padded = F.pad(features, (1, 1, 1, 1))
    step = torch.arange(3, device=cells.device)
    n = cells[:, 0].view(-1, 1, 1)
    y = cells[:, 1].view(-1, 1, 1) + step.view(1, 3, 1)
    x = cells[:, 2].view(-1, 1, 1) + step.view(1, 1, 3)
    return padded[n, :, y, x].permute(0, 3, 1, 2)


def _sample_points(
    features: torch.Tensor, n: torch.Tensor, y: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """Bilinear samples of image ``n`` (m,) at (m, taps) coordinates -> (m, taps, width)."""
    rows, columns = features.shape[-2:]
    low_y, low_x = torch.floor(y), torch.floor(x)
    total = features.new_zeros(*y.shape, features.shape[1])
    for dy in (0, 1):
        for dx in (0, 1):
            iy, ix = low_y + dy, low_x + dx
            weight = (1 - (y - iy).abs()) * (1 - (x - ix).abs())
            inside = (iy >= 0) & (iy < rows) & (ix >= 0) & (ix < columns)
            value = features[
                n[:, None], :, iy.clamp(0, rows - 1).long(), ix.clamp(0, columns - 1).long()
            ]
            total = total + (weight * inside)[..., None] * value
    return total
