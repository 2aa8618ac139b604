"""TipDet's parts: two streams that begin as YOLOT, and attention over keyframes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from needle_backend.us.candidates import (
    CANDIDATE_NUMBERS,
    MOST_CANDIDATES,
    candidates_of,
    confidence_logit,
)
from needle_backend.us.flow import MOTION_S
from needle_backend.us.network import Yolot, decode
from needle_backend.us.tipdet_network import (
    ATTENTION_HEADS,
    HEAD_CHANNELS,
    VIEW_CHANNELS,
    KeyframeAttention,
    TwoStream,
)


@pytest.fixture(scope="module")
def streams() -> TwoStream:
    torch.manual_seed(0)
    streams = TwoStream()
    streams.start_from(Yolot().state_dict())
    return streams.eval()


@torch.inference_mode()
def test_two_streams_begin_as_yolot_whatever_moves(streams):
    grey, motion = torch.randn(2, 1, 64, 96), torch.randn(2, 3, 64, 96)
    sight = streams(grey, motion)
    for ours, theirs in zip(sight.maps, streams.image(grey), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert sight.view.shape == (2, VIEW_CHANNELS, 8, 12)
    assert sight.moving.shape == (2,)


@torch.inference_mode()
def test_candidates_are_the_surest_boxes_the_surest_first(streams):
    maps = streams.image(torch.randn(1, 1, 128, 128))
    (candidates,) = candidates_of(maps)
    answers = decode(maps)
    assert len(candidates.boxes) == MOST_CANDIDATES
    assert candidates.numbers.shape == (MOST_CANDIDATES, CANDIDATE_NUMBERS)
    assert torch.equal(candidates.confidence, candidates.confidence.sort(descending=True).values)
    torch.testing.assert_close(candidates.confidence[0], answers.confidence.max())
    column, row = candidates.cells[0]
    x, y = candidates.boxes[0, :2].clamp(0, 127)
    assert (int(column), int(row)) == (int(x // 8), int(y // 8))


def test_the_logit_of_a_confidence_is_finite_at_both_ends():
    sure, unsure = torch.tensor([40.0, 0.0, -40.0]), torch.tensor([40.0, 1.0, -40.0])
    logits = confidence_logit(sure, unsure)
    assert torch.isfinite(logits).all()
    both = torch.sigmoid(sure[1]) * torch.sigmoid(unsure[1])
    torch.testing.assert_close(torch.sigmoid(logits[1]), both)


class Inputs:
    """Candidates of 2 frames with 3 keyframes each, of which the second has but one."""

    def __init__(self) -> None:
        torch.manual_seed(2)
        self.numbers = torch.randn(2, 5, CANDIDATE_NUMBERS)
        self.here = torch.randn(2, 5, VIEW_CHANNELS)
        self.around = torch.randn(2, 5, 3, 81, VIEW_CHANNELS)
        self.ages_s = torch.tensor([[0.1, 0.2, 1.0], [0.4, -1.0, -1.0]])

    def all(self) -> tuple[torch.Tensor, ...]:
        return self.numbers, self.here, self.around, self.ages_s


def trained_a_little() -> KeyframeAttention:
    attention = KeyframeAttention().eval()
    for value in attention.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return attention.requires_grad_(False)


def test_untrained_attention_changes_no_confidence():
    inputs = Inputs()
    logits = KeyframeAttention().eval()(*inputs.all())
    torch.testing.assert_close(logits, inputs.numbers[..., 0])


def test_keyframes_that_are_not_there_are_not_seen():
    attention, inputs = trained_a_little(), Inputs()
    before = attention(*inputs.all())
    inputs.around[1, :, 1:] = 7.0
    torch.testing.assert_close(attention(*inputs.all()), before)
    inputs.around[1, :, 0] = torch.randn(5, 81, VIEW_CHANNELS)
    assert not torch.allclose(attention(*inputs.all())[1], before[1])


def test_attention_is_what_keys_and_values_written_out_would_give():
    attention, inputs = trained_a_little(), Inputs()
    n, m, k, p, _ = inputs.around.shape
    here, around = attention.normal(inputs.here), attention.normal(inputs.around)
    age = torch.log1p(inputs.ages_s.clamp(min=0) / MOTION_S)[:, None, :, None, None, None]

    def written_out(part):
        shown = torch.einsum("hdc,nmkpc->nmkphd", part.shown, around)
        return (shown + part.place + age * part.age).reshape(
            n * m, k * p, ATTENTION_HEADS, HEAD_CHANNELS
        )

    nothing = attention.nothing.expand(n * m, 1, -1, -1)
    keys = torch.cat([written_out(attention.key), nothing], dim=1)
    values = torch.cat([written_out(attention.value), torch.zeros_like(nothing)], dim=1)
    query = attention.query(here).reshape(n * m, 1, ATTENTION_HEADS, HEAD_CHANNELS)
    there = (inputs.ages_s >= 0)[:, None, :, None].expand(n, m, k, p).reshape(n * m, 1, 1, k * p)
    found = F.scaled_dot_product_attention(
        *(one.transpose(1, 2) for one in (query, keys, values)),
        attn_mask=F.pad(there, (0, 1), value=True),
    )
    found = found.transpose(1, 2).reshape(n, m, -1)
    expected = attention.judge(torch.cat([found, here, inputs.numbers / 4], dim=-1))[..., 0]
    torch.testing.assert_close(
        attention(*inputs.all()), inputs.numbers[..., 0] + expected, rtol=1e-3, atol=1e-3
    )
