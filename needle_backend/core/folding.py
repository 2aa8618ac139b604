"""Fold batch normalisation into the convolutions before it, for a network that only predicts."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batch_norms(network: Network) -> Network:
    """Fold every normalisation that directly follows a convolution into it, in place.

    In evaluation mode a normalisation is a fixed scale and shift a channel; folded, the answers are
    the same up to rounding, and the feature maps are written once less.

    Parameters
    ----------
    network
        In evaluation mode. The modules of each container must stand in the order they are used, as
        in timm's HRNets; names of the parameters stay, but the result can no longer be trained.
    """
    for container in network.modules():
        before = None
        for name, module in container.named_children():
            if isinstance(module, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
                folded = fuse_conv_bn_eval(before, module)
                before.weight, before.bias = folded.weight, folded.bias
                setattr(container, name, nn.Identity())
            before = module
    return network
