"""The tip-handle network and its deformable heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d

from needle_backend.core.weights import WEIGHTS_FOLDER, find_weights
from needle_backend.ct.detect import decode
from needle_backend.ct.network import DeformableHead, NetworkSettings, TipHandleNetwork
from needle_backend.ct.weights import load_network


@pytest.fixture
def bent_head() -> DeformableHead:
    """A head whose offsets are far from zero."""
    torch.manual_seed(0)
    head = DeformableHead(8, 2)
    torch.nn.init.normal_(head.offset.weight, std=0.2)
    torch.nn.init.normal_(head.offset.bias, std=0.7)
    return head


def test_a_deformable_head_equals_torchvisions_operator(bent_head):
    features = torch.randn(2, 8, 11, 14)
    offset = bent_head.offset(features)
    expected = deform_conv2d(features, offset, bent_head.weight, bent_head.bias, padding=1)
    expected = bent_head.out(F.relu(expected))
    torch.testing.assert_close(bent_head(features), expected, atol=2e-5, rtol=1e-4)


def test_a_head_at_chosen_cells_equals_the_head_everywhere(bent_head):
    features = torch.randn(2, 8, 9, 7)
    cells = torch.nonzero(torch.ones(2, 9, 7))
    everywhere = bent_head(features).permute(0, 2, 3, 1).reshape(-1, 2)
    torch.testing.assert_close(bent_head.at(features, cells), everywhere, atol=2e-5, rtol=1e-4)


def test_chosen_cells_and_everywhere_learn_alike(bent_head):
    features = torch.randn(1, 8, 6, 6)
    cells = torch.nonzero(torch.ones(1, 6, 6))
    bent_head(features).square().sum().backward()
    dense = [p.grad.clone() for p in bent_head.parameters()]
    bent_head.zero_grad()
    bent_head.at(features, cells).square().sum().backward()
    for parameter, expected in zip(bent_head.parameters(), dense, strict=True):
        torch.testing.assert_close(parameter.grad, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("backbone", ["hrnet_w18_small", "hrnet_w18", "hrnet_w32"])
def test_any_hrnet_can_be_the_backbone(backbone):
    network = TipHandleNetwork(NetworkSettings(backbone=backbone, width=16, head_width=8)).eval()
    with torch.inference_mode():
        features = network.features(torch.zeros(1, 6, 64, 96))
        assert features.shape == (1, 8, 16, 24)
        assert network.heatmap_logits(features).shape == (1, 2, 16, 24)


class _Planted(torch.nn.Module):
    """Answers as a network would that sees one tip at column 42.4, row 21.2, pointing up."""

    def heatmap_logits(self, features):
        logits = torch.full((1, 2, 16, 16), -9.0)
        logits[0, 1, 5, 10] = 3.0
        logits[0, 1, 5, 11] = 2.0
        return logits

    def offset_at(self, features, cells):
        return torch.tensor([[0.6, 0.3]]).repeat(len(cells), 1)

    def direction_at(self, features, cells):
        return torch.tensor([[0.0, 1.0]]).repeat(len(cells), 1)


def test_a_peak_is_decoded_once_at_cell_plus_offset_times_four():
    ends = decode(_Planted(), torch.zeros(1, 8, 16, 16), threshold=0.2)
    assert ends["kind"].tolist() == [1]
    assert ends["column"][0] == pytest.approx(42.4)
    assert ends["row"][0] == pytest.approx(21.2)
    assert ends["angle_deg"][0] == pytest.approx(90.0)


needs_weights = pytest.mark.skipif(
    not any(WEIGHTS_FOLDER.glob("ct_*.safetensors")), reason="no trained CT weights in Resources"
)


@needs_weights
def test_trained_deformable_offsets_are_not_zero():
    network, _ = load_network(find_weights(None), "cpu")
    for head in (network.heatmap_head, network.offset_head, network.angle_head):
        features = torch.rand(1, network.settings.head_width, 16, 16)
        assert head.offset(features).abs().mean() > 0.05


@needs_weights
def test_shipped_weights_are_small_and_half_precision():
    weights = find_weights(None)
    assert weights.path.stat().st_size <= 8_000_000
    assert "sha256" in weights.card


@pytest.mark.parametrize("outputs", [1, 2])
def test_an_angle_is_a_unit_vector_however_the_head_states_it(outputs):
    torch.manual_seed(0)
    settings = NetworkSettings(width=16, head_width=8, angle_outputs=outputs)
    network = TipHandleNetwork(settings).eval()
    cells = torch.nonzero(torch.ones(2, 5, 4))
    with torch.inference_mode():
        direction = network.direction_at(3 * torch.randn(2, 8, 5, 4), cells)
    assert direction.shape == (40, 2)
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(40))
