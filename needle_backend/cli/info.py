"""`needles info`: what is installed, which device will be used, which weights there are."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import typer

from needle_backend import __version__

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "SimpleITK",
    "opencv-python-headless",
    "safetensors",
)


def info() -> None:
    """Print versions, the device, and the weights with their cards."""
    for name, value in _facts():
        typer.echo(f"{name:24} {value}")


def _facts() -> Iterator[tuple[str, str]]:
    from needle_backend.core.device import choose_device
    from needle_backend.core.weights import WEIGHTS_FOLDER, list_weights

    yield "needle_backend", __version__
    yield "python", platform.python_version()
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
    choice = choose_device("auto")
    yield "device", choice.device
    for warning in choice.warnings:
        yield "", warning
    weights = list_weights()
    yield "weights", f"{len(weights) or 'none'} in {WEIGHTS_FOLDER}"
    for file in weights:
        yield file.name, str(file.path)
        for key, value in file.card.items():
            yield f"  {key}", value if isinstance(value, str) else json.dumps(value)
