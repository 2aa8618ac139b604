"""Normalisations folded into convolutions."""

from __future__ import annotations

import torch
from torch import nn

from needle_backend.core.folding import fold_batch_norms
from needle_backend.ct.network import NetworkSettings, TipHandleNetwork


def settled_network() -> TipHandleNetwork:
    """A network whose normalisations do something, as after training."""
    torch.manual_seed(2)
    network = TipHandleNetwork(NetworkSettings(width=16, head_width=8)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def test_a_folded_network_gives_the_same_answers():
    network = settled_network()
    image = torch.rand(1, 6, 96, 64)
    with torch.inference_mode():
        before = network.features(image)
        after = fold_batch_norms(network).features(image)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4 * before.abs().max().item())


def test_of_the_normalisations_only_that_of_a_sum_is_left():
    network = fold_batch_norms(settled_network())
    left = [name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert left == ["trunk.joined.0"]
