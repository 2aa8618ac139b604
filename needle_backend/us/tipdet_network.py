"""TipDet: YOLOT, a second stream that sees motion, and a memory of keyframes (Wang et al. 2024).

Two streams of the same layers look at the frame and at its motion; what they see is joined, a
second pair of heads answers. The surest candidates are then judged again by what moved about their
place in the last keyframes (cross attention, 4 heads x 64). What differs from the published
network, for the sake of a CPU: YOLOT itself stays inside unchanged, so that one pass of the frame
also gives YOLOT's answer; and whether a frame is a keyframe is read off the stream of motion
instead of a ResNet-18 of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from needle_backend.us.candidates import CANDIDATE_NUMBERS, confidence_logit
from needle_backend.us.flow import MOTION_S, STILL
from needle_backend.us.keyframes import NEIGHBOURHOOD_CELLS
from needle_backend.us.network import WIDTHS, Backbone, Convolution, Head, Yolot

ATTENTION_HEADS, HEAD_CHANNELS = 4, 64
USUAL_MOTION = 32.0
"""Grey levels of a motion image that become 1: two pixels of flow."""

VIEW_CHANNELS = 2 * WIDTHS[0] + 2


@dataclass(frozen=True)
class Sight:
    """What two streams see in some frames.

    Attributes
    ----------
    maps
        As :meth:`Yolot.forward` gives them.
    view
        (n, VIEW_CHANNELS, rows / 8, columns / 8): motion, both streams joined, and how sure each
        of the strides is of a tip; this is remembered of keyframes.
    moving
        (n,) logits: that a needle moves.
    """

    maps: list[torch.Tensor]
    view: torch.Tensor
    moving: torch.Tensor


class TwoStream(nn.Module):
    """Boxes around needle tips, from grey squares and their motion."""

    def __init__(self) -> None:
        super().__init__()
        self.image = Yolot()
        self.motion = Backbone(channels=3)
        self.joins = nn.ModuleList(Convolution(2 * width, width) for width in WIDTHS)
        self.heads = nn.ModuleList(Head(width) for width in WIDTHS)
        self.moving = nn.Conv2d(WIDTHS[1], 1, 1)

    @torch.no_grad()
    def start_from(self, state: dict[str, torch.Tensor]) -> None:
        """Take YOLOT's weights: the answers are then YOLOT's, whatever moves."""
        self.image.load_state_dict(state)
        layers = {name: value for name, value in state.items() if not name.startswith("heads.")}
        self.motion.load_state_dict(layers)
        self.heads.load_state_dict(self.image.heads.state_dict())
        for join in self.joins:
            join.norm.weight.zero_()

    def forward(self, grey: torch.Tensor, motion: torch.Tensor) -> Sight:
        """Look at grey squares (n, 1, rows, columns) and motion (n, 3, rows, columns)."""
        return self.joined(self.image.grey_features(grey), motion)

    def joined(self, image: tuple[torch.Tensor, ...], motion: torch.Tensor) -> Sight:
        """Join what the stream of the image saw already with motion (n, 3, rows, columns)."""
        moved = self.motion.features(motion)
        both = [
            still + join(torch.cat([still, moving], dim=1))
            for join, still, moving in zip(self.joins, image, moved, strict=True)
        ]
        maps = [head(scale) for head, scale in zip(self.heads, both, strict=True)]
        sure = [confidence_logit(one[:, 4:5], one[:, 5:6]) for one in maps]
        coarse = F.interpolate(sure[1], size=sure[0].shape[-2:])
        view = torch.cat([moved[0], both[0], sure[0], coarse], dim=1)
        return Sight(maps, view, self.moving(moved[1]).amax(dim=(1, 2, 3)))


def motion_input(motion: torch.Tensor) -> torch.Tensor:
    """Scale motion images, uint8 (n, rows, columns, 3) -> float32 (n, 3, rows, columns)."""
    return (motion.permute(0, 3, 1, 2).float() - STILL) / USUAL_MOTION


class KeyframeAttention(nn.Module):
    """Judges candidates by what keyframes show around their places.

    Keys and values are linear in what a keyframe shows, in the cell's place and in the keyframe's
    age. So the query is taken to what is shown instead of every key to the query: the same sums in
    a different order, and far fewer of them.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        width = ATTENTION_HEADS * HEAD_CHANNELS
        places = NEIGHBOURHOOD_CELLS**2
        self.normal = nn.LayerNorm(VIEW_CHANNELS)
        self.query = nn.Linear(VIEW_CHANNELS, width)
        self.key = PlacedProjection(places)
        self.value = PlacedProjection(places)
        self.nothing = nn.Parameter(torch.zeros(ATTENTION_HEADS, HEAD_CHANNELS))
        self.judge = nn.Sequential(
            nn.Linear(width + VIEW_CHANNELS + CANDIDATE_NUMBERS, 96),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(96, 1),
        )
        nn.init.zeros_(self.judge[-1].weight)
        nn.init.zeros_(self.judge[-1].bias)

    def forward(
        self,
        numbers: torch.Tensor,
        here: torch.Tensor,
        around: torch.Tensor,
        ages_s: torch.Tensor,
    ) -> torch.Tensor:
        """Return the new logits of confidence (n, most).

        Parameters
        ----------
        numbers
            (n, most, CANDIDATE_NUMBERS), see :class:`Candidates`.
        here
            (n, most, VIEW_CHANNELS): the frame's own view at the candidates.
        around
            (n, most, keyframes, 81, VIEW_CHANNELS), see :func:`.keyframes.windows`.
        ages_s
            (n, keyframes) how long ago each was; below 0 where there is none.
        """
        here, around = self.normal(here), self.normal(around)
        age = torch.log1p(ages_s.clamp(min=0) / MOTION_S)
        query = self.query(here).unflatten(-1, (ATTENTION_HEADS, HEAD_CHANNELS))
        scores = self.key.scores(query, around, age)
        scores = scores.masked_fill((ages_s < 0)[:, None, None, :, None], -torch.inf)
        none = (query * self.nothing).sum(-1, keepdim=True)
        scores = torch.cat([scores.flatten(3), none], dim=-1) / HEAD_CHANNELS**0.5
        weights = scores.softmax(-1)[..., :-1].unflatten(-1, around.shape[2:4])
        found = self.value.gathered(weights, around, age).flatten(2)
        told = torch.cat([found, here, numbers / 4.0], dim=-1)
        return numbers[..., 0] + self.judge(told)[..., 0]


class PlacedProjection(nn.Module):
    """Projects what is shown, where, and how long ago; never written out for every cell.

    Dimensions: n frames, m candidates, k keyframes, p places, c channels, h heads, d of a head.
    """

    def __init__(self, places: int) -> None:
        super().__init__()
        bound = VIEW_CHANNELS**-0.5
        shape = (ATTENTION_HEADS, HEAD_CHANNELS)
        self.shown = nn.Parameter(torch.empty(*shape, VIEW_CHANNELS).uniform_(-bound, bound))
        self.place = nn.Parameter(torch.randn(places, *shape) * 0.02)
        self.age = nn.Parameter(torch.randn(shape) * 0.02)

    def scores(self, query: torch.Tensor, around: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Return how well each cell answers a query (n, m, h, d) -> (n, m, h, k, p)."""
        by_channel = torch.einsum("nmhd,hdc->nmhc", query, self.shown)
        by_place = torch.einsum("nmhd,phd->nmhp", query, self.place)
        by_age = torch.einsum("nmhd,hd,nk->nmhk", query, self.age, age)
        shown = torch.einsum("nmhc,nmkpc->nmhkp", by_channel, around)
        return shown + by_place[:, :, :, None] + by_age[..., None]

    def gathered(
        self, weights: torch.Tensor, around: torch.Tensor, age: torch.Tensor
    ) -> torch.Tensor:
        """Return the weighted sum (n, m, h, d) of what all cells say; weights (n, m, h, k, p)."""
        shown = torch.einsum("nmhkp,nmkpc->nmhc", weights, around)
        by_channel = torch.einsum("nmhc,hdc->nmhd", shown, self.shown)
        by_place = torch.einsum("nmhkp,phd->nmhd", weights, self.place)
        by_age = torch.einsum("nmhkp,nk,hd->nmhd", weights, age, self.age)
        return by_channel + by_place + by_age


class TipDet(nn.Module):
    """Both parts, as they are trained one after the other and shipped together."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = TwoStream()
        self.attention = KeyframeAttention()
