"""YOLOT: the small parts of YOLOX-Nano that a needle's tip needs.

Wang et al. 2024 and 2025: CSPDarknet (depth 0.33, width 0.25, depthwise convolutions) up to stride
16, whose last two stages go straight into YOLOX's decoupled head (Ge et al. 2021, arXiv
2107.08430), without a feature pyramid and without the map of stride 32. One class: 146,636
parameters, 8,000 cells at 640 x 640.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

STRIDES = (8, 16)
WIDTHS = (64, 128)
"""Channels of the map at each stride."""

STEM_WIDTH = 16
HEAD_WIDTH = 64
PRIOR = 0.01
"""Probability that an untrained network gives every cell, because few hold a tip."""


@dataclass(frozen=True)
class Answers:
    """What the network says at every cell, finest stride first, row by row.

    Attributes
    ----------
    boxes
        (n, cells, 4): centre x, centre y, width, height in pixels of the input.
    objectness, likeness
        (n, cells) logits: that there is a tip, and that what is there looks like one.
    cells
        (cells, 3): x and y of the cell's centre, and its stride, in pixels.
    """

    boxes: torch.Tensor
    objectness: torch.Tensor
    likeness: torch.Tensor
    cells: torch.Tensor

    @property
    def confidence(self) -> torch.Tensor:
        """Confidence (n, cells), 0..1: the product of both probabilities."""
        return torch.sigmoid(self.objectness) * torch.sigmoid(self.likeness)


class Backbone(nn.Module):
    """CSPDarknet up to stride 16, from images of some channels whose sides are multiples of 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = Convolution(4 * channels, STEM_WIDTH, kernel=3)
        self.dark2 = stage(16, 32, blocks=1)
        self.dark3 = stage(32, 64, blocks=3)
        self.dark4 = stage(64, 128, blocks=3)

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (n, channels, rows, columns) to a map a stride, with as many channels as WIDTHS."""
        fine = self.dark3(self.dark2(self.stem(folded_pixels(image))))
        return fine, self.dark4(fine)


class Yolot(Backbone):
    """Boxes around needle tips, from grey squares whose sides are multiples of 16."""

    def __init__(self) -> None:
        super().__init__(channels=3)
        self.heads = nn.ModuleList(Head(width) for width in WIDTHS)

    def forward(self, grey: torch.Tensor) -> list[torch.Tensor]:
        """Map (n, 1, rows, columns) to one map a stride, (n, 6, rows / stride, columns / stride).

        The channels: x, y, width, height relative to the cell, objectness, likeness.
        """
        return self.answers(self.grey_features(grey))

    def grey_features(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return :meth:`features` of grey squares (n, 1, rows, columns)."""
        # A network made for colour sees three equal channels; one made grey sees one.
        return self.features(grey.expand(-1, self.stem.conv.in_channels // 4, -1, -1))

    def answers(self, scales: tuple[torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
        """Return the maps of :meth:`forward`, given the features."""
        return [head(scale) for head, scale in zip(self.heads, scales, strict=True)]

    @torch.no_grad()
    def make_grey(self) -> Yolot:
        """Sum the first convolution over its three equal input channels, in place.

        The answers stay the same, the first layer costs a third. It can no longer take colour
        weights.
        """
        colour = self.stem.conv
        weight = colour.weight.unflatten(1, (4, 3)).sum(2)
        grey = nn.Conv2d(4, STEM_WIDTH, 3, padding=1, bias=colour.bias is not None)
        grey.weight.copy_(weight)
        if colour.bias is not None:
            grey.bias.copy_(colour.bias)
        self.stem.conv = grey.to(weight.device)
        return self


def folded_pixels(image: torch.Tensor) -> torch.Tensor:
    """Fold 2 x 2 pixels into channels, (n, c, h, w) -> (n, 4 c, h / 2, w / 2), left column first.

    YOLOX's focus; nothing is lost, and the first convolution works at half the size.
    """
    corners = [image[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return torch.cat(corners, dim=1)


def maps_both_ways(network: Yolot, grey: torch.Tensor) -> list[torch.Tensor]:
    """Return the maps of grey squares, each averaged with those of its mirror image.

    A network is not quite even between left and right: what it sees from one side only is mostly no
    tip, what it sees from both it may believe sooner.
    """
    return [
        (one + mirrored(other, stride)) / 2
        for (one, other), stride in zip(
            (both.float().chunk(2) for both in network(torch.cat([grey, grey.flip(-1)]))),
            STRIDES,
            strict=True,
        )
    ]


def mirrored(one: torch.Tensor, stride: int) -> torch.Tensor:
    """Return a map (n, 6, rows, columns) as it is of the picture's mirror image."""
    x, rest = one.flip(-1).split([1, 5], dim=1)
    # Pixel i of n becomes pixel n - 1 - i: a pixel short of where its cell's edges go.
    return torch.cat([1 - 1 / stride - x, rest], dim=1)


def decode(maps: list[torch.Tensor]) -> Answers:
    """Turn the network's maps into boxes in pixels of its input; float32 whatever came."""
    flat = [one.flatten(2).transpose(1, 2).float() for one in maps]
    cells = torch.cat([_cells(one, stride) for one, stride in zip(maps, STRIDES, strict=True)])
    values = torch.cat(flat, dim=1)
    stride = cells[:, 2:]
    corner = cells[:, :2] - stride / 2
    centre = values[..., :2] * stride + corner
    size = torch.exp(values[..., 2:4].clamp(max=_LARGEST_LOG_SIZE)) * stride
    return Answers(torch.cat([centre, size], dim=-1), values[..., 4], values[..., 5], cells)


_LARGEST_LOG_SIZE = math.log(128.0)
"""No tip is wider than 128 cells; the bound keeps the exponential finite."""


def _cells(one: torch.Tensor, stride: int) -> torch.Tensor:
    rows, columns = one.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(rows, device=one.device),
        torch.arange(columns, device=one.device),
        indexing="ij",
    )
    centres = (torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5) * stride
    return F.pad(centres, (0, 1), value=float(stride))


class Convolution(nn.Sequential):
    """Convolution, batch normalisation, SiLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(
                    inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
                ),
                norm=nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
                act=nn.SiLU(inplace=True),
            )
        )


class Separable(nn.Sequential):
    """A 3 x 3 convolution a channel, then a 1 x 1 one across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            OrderedDict(
                depth=Convolution(inputs, inputs, 3, stride, groups=inputs),
                point=Convolution(inputs, outputs),
            )
        )


class Residual(nn.Module):
    """What a 1 x 1 and a separable convolution add to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = Convolution(width, width)
        self.look = Separable(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        return features + self.look(self.mix(features))


class CrossStagePartial(nn.Module):
    """Half of the channels go through residual blocks, half around them (Wang et al. 2020)."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.through = Convolution(width, width // 2)
        self.around = Convolution(width, width // 2)
        self.blocks = nn.Sequential(*(Residual(width // 2) for _ in range(blocks)))
        self.join = Convolution(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        through = self.blocks(self.through(features))
        return self.join(torch.cat([through, self.around(features)], dim=1))


def stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """Halve the size, then look at it."""
    return nn.Sequential(
        OrderedDict(halve=Separable(inputs, outputs, 2), look=CrossStagePartial(outputs, blocks))
    )


class Head(nn.Module):
    """YOLOX's decoupled head at one stride: one branch names, one places."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.stem = Convolution(inputs, HEAD_WIDTH)
        self.naming = nn.Sequential(*(Separable(HEAD_WIDTH, HEAD_WIDTH) for _ in range(2)))
        self.placing = nn.Sequential(*(Separable(HEAD_WIDTH, HEAD_WIDTH) for _ in range(2)))
        self.likeness = nn.Conv2d(HEAD_WIDTH, 1, 1)
        self.objectness = nn.Conv2d(HEAD_WIDTH, 1, 1)
        self.box = nn.Conv2d(HEAD_WIDTH, 4, 1)
        for out in (self.likeness, self.objectness):
            nn.init.constant_(out.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, 6, h, w)."""
        features = self.stem(features)
        placing = self.placing(features)
        likeness = self.likeness(self.naming(features))
        return torch.cat([self.box(placing), self.objectness(placing), likeness], dim=1)
