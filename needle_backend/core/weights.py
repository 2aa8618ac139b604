"""Where weights lie, which there are, and whether a file is what its model card says."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole

if TYPE_CHECKING:
    import torch

WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "Weights"
"""Beside the package, in the source tree as in an installed extension."""

DEFAULT_CT_WEIGHTS = "ct_hrnet_w18_small"
DEFAULT_PAIR_WEIGHTS = "ct_pairs"
DEFAULT_US_WEIGHTS = "us_yolot"
DEFAULT_TIPDET_WEIGHTS = "us_tipdet"
DEFAULT_GENERATOR_WEIGHTS = "us_tip_ddpm"


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and its model card."""

    name: str
    path: Path
    card: dict[str, Any]


def list_weights(folder: Path = WEIGHTS_FOLDER) -> list[WeightsFile]:
    """Return every weights file in the folder that has a readable card, in order of their names."""
    return [_with_card(path) for path in sorted(folder.glob("*.safetensors"))]


def find_weights(name_or_path: str | None, default: str = DEFAULT_CT_WEIGHTS) -> WeightsFile:
    """Find weights by name or path, checked against their card; None gives the default.

    Raises
    ------
    InputError
        When there is no such file or card, or the file's sha256 is not the card's.
    """
    name = name_or_path or default
    path = Path(name)
    if path.suffix != ".safetensors":
        path = WEIGHTS_FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise InputError(
            f"No weights at {path}; give a .safetensors file or a name that `needles info` lists."
        )
    found = _with_card(path)
    if sha256_of(path) != found.card.get("sha256"):
        raise InputError(
            f"{path} is not the file its model card describes (sha256 differs): it was cut short "
            "or altered; install it again."
        )
    return found


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file as float32 tensors.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a safetensors file.") from error
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def write_weights(path: Path, state: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> Path:
    """Write tensors in half precision, and beside them the card, with name and checksum filled in.

    Parameters
    ----------
    path
        Of the .safetensors file, which is returned.
    state
        Tensors by name.
    card
        What else the model card says.

    Raises
    ------
    InputError
        When the place cannot be written to.
    """
    from safetensors.torch import save_file

    with written_whole(path) as temporary:
        save_file(in_half_precision(state), temporary)
        temporary.chmod(0o644)  # safetensors keeps its files from everybody else
    told = {"name": path.stem, **card, "sha256": sha256_of(path)}
    with written_whole(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return path


def in_half_precision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as they are shipped: floating point ones in half precision."""
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }


def hardware() -> str:
    """Say, for a model card, on what this process trains."""
    import torch

    device = "CUDA" if torch.cuda.is_available() else "CPU"
    return f"{platform.processor() or platform.machine()}, {device}, torch {torch.__version__}"


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _with_card(path: Path) -> WeightsFile:
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} has no readable model card; put {card_path.name} beside it."
        ) from error
    return WeightsFile(path.stem, path, card)
