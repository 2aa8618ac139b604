"""YOLOT's weights: the product's own with their card, and a start from YOLOX-Nano's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from needle_backend.core.errors import InputError
from needle_backend.core.weights import WeightsFile, load_state
from needle_backend.us.network import STRIDES, Yolot
from needle_backend.us.tipdet_network import TipDet

SMALLEST_INPUT_PX, LARGEST_INPUT_PX = 64, 2048

_YOLOX_NAMES = (
    (r"^stem\.", "backbone.backbone.stem.conv."),
    (r"^dark(\d)\.halve\.", r"backbone.backbone.dark\1.0."),
    (r"^dark(\d)\.look\.", r"backbone.backbone.dark\1.1."),
    (r"\.through\.", ".conv1."),
    (r"\.around\.", ".conv2."),
    (r"\.join\.", ".conv3."),
    (r"\.blocks\.(\d)\.mix\.", r".m.\1.conv1."),
    (r"\.blocks\.(\d)\.look\.", r".m.\1.conv2."),
    (r"\.depth\.", ".dconv."),
    (r"\.point\.", ".pconv."),
    (r"\.norm\.", ".bn."),
    (r"^heads\.(\d)\.stem\.", r"head.stems.\1."),
    (r"^heads\.(\d)\.naming\.", r"head.cls_convs.\1."),
    (r"^heads\.(\d)\.placing\.", r"head.reg_convs.\1."),
    (r"^heads\.(\d)\.likeness\.", r"head.cls_preds.\1."),
    (r"^heads\.(\d)\.objectness\.", r"head.obj_preds.\1."),
    (r"^heads\.(\d)\.box\.", r"head.reg_preds.\1."),
)


@dataclass(frozen=True)
class DetectorSettings:
    """What a card says about how its weights are used.

    Attributes
    ----------
    input_px
        Side of the square that the network sees.
    threshold
        Least confidence that counts as a tip.
    bf16
        Whether answers in bf16 were found to agree with those in float32.
    """

    input_px: int
    threshold: float
    bf16: bool


@dataclass(frozen=True)
class VideoSettings:
    """What a card says about how TipDet's weights are used.

    Attributes
    ----------
    input_px
        Side of the square that the network sees.
    threshold
        Least confidence that counts as a tip.
    yolot_threshold
        The same for the first frames, which YOLOT answers.
    """

    input_px: int
    threshold: float
    yolot_threshold: float


_Network = TypeVar("_Network", bound=nn.Module)
_Settings = TypeVar("_Settings", DetectorSettings, VideoSettings)


def load_detector(weights: WeightsFile, device: str) -> tuple[Yolot, DetectorSettings]:
    """Rebuild the network that a card describes, in evaluation mode on a device.

    Raises
    ------
    InputError
        When the card does not describe a YOLOT, or the tensors do not fit it.
    """
    return _rebuilt("YOLOT", Yolot(), _detector_settings, weights, device)


def load_tipdet(weights: WeightsFile, device: str) -> tuple[TipDet, VideoSettings]:
    """Rebuild the TipDet that a card describes, in evaluation mode on a device.

    Raises
    ------
    InputError
        When the card does not describe a TipDet, or the tensors do not fit it.
    """
    return _rebuilt("TipDet", TipDet(), _video_settings, weights, device)


def _detector_settings(card: dict[str, Any]) -> DetectorSettings:
    return DetectorSettings(
        int(card["input"]["size_px"]), float(card["threshold"]), bool(card["bf16"])
    )


def _video_settings(card: dict[str, Any]) -> VideoSettings:
    return VideoSettings(
        int(card["input"]["size_px"]), float(card["threshold"]), float(card["yolot_threshold"])
    )


def _rebuilt(
    kind: str,
    network: _Network,
    stated: Callable[[dict[str, Any]], _Settings],
    weights: WeightsFile,
    device: str,
) -> tuple[_Network, _Settings]:
    try:
        settings = stated(weights.card)
        check_input_px(settings.input_px)
        network.load_state_dict(load_state(weights.path))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{weights.path} and its model card do not describe a {kind} tip detector; "
            "choose other weights or the other model."
        ) from error
    return network.eval().to(device), settings


def check_input_px(size_px: int) -> None:
    """Raise InputError for a side that the network cannot take."""
    step = STRIDES[-1]
    if not SMALLEST_INPUT_PX <= size_px <= LARGEST_INPUT_PX or size_px % step:
        raise InputError(
            f"An input of {size_px} px is not possible; give a multiple of {step} between "
            f"{SMALLEST_INPUT_PX} and {LARGEST_INPUT_PX}."
        )


def start_state(path: Path) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """Read a state to start a training from, and the names of the tensors that the file gave.

    Parameters
    ----------
    path
        YOLOX-Nano's weights as safetensors with the names of the original (MS COCO; all but the
        layer that names 80 classes can be used), or YOLOT's own.

    Raises
    ------
    InputError
        When the file is neither.
    """
    given = load_state(path)
    fresh = Yolot().state_dict()
    names = {name: name if name in given else yolox_name(name) for name in fresh}
    loaded = {
        name: given[source]
        for name, source in names.items()
        if source in given and given[source].shape == fresh[name].shape
    }
    if not {name for name, _ in Yolot().named_parameters() if "likeness" not in name} <= set(
        loaded
    ):
        raise InputError(f"{path} holds weights of neither YOLOX-Nano nor YOLOT.")
    return {**fresh, **loaded}, frozenset(loaded)


def yolox_name(name: str) -> str:
    """Return what YOLOX calls a tensor of YOLOT."""
    for pattern, replacement in _YOLOX_NAMES:
        name = re.sub(pattern, replacement, name)
    return name
