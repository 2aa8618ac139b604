"""Load a tip-handle network from a weights file and its model card."""

from __future__ import annotations

import torch

from needle_backend.core.errors import InputError
from needle_backend.core.weights import WeightsFile, load_state
from needle_backend.ct.network import NetworkSettings, TipHandleNetwork
from needle_backend.ct.preprocess import InputSettings


def load_network(weights: WeightsFile, device: str) -> tuple[TipHandleNetwork, InputSettings]:
    """Rebuild the network that a card describes, in evaluation mode on a device.

    Raises
    ------
    InputError
        When the card does not describe a tip-handle network, or the tensors do not fit it.
    """
    try:
        network = TipHandleNetwork(NetworkSettings(**weights.card["architecture"]))
        windows = weights.card["input"]["windows_hu"]
        settings = InputSettings(
            tuple((float(low), float(high)) for low, high in windows),
            int(weights.card["input"]["neighbours"]),
        )
        network.load_state_dict(load_state(weights.path))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{weights.path} and its model card do not describe a tip-handle network."
        ) from error
    network = network.eval().to(device, memory_format=torch.channels_last)
    return network, settings
