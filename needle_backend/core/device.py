"""Which device computes: the one asked for, or the best there is, and why not another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DeviceChoice:
    """A torch device's name, and sentences about what could not be had."""

    device: str
    warnings: tuple[str, ...] = ()


def choose_device(requested: str) -> DeviceChoice:
    """Choose "cpu" or "cuda:N".

    Parameters
    ----------
    requested
        "auto" takes the GPU with most free memory, else the CPU; "cpu"; "cuda" or "cuda:1".

    Raises
    ------
    InputError
        When the name is none of these, or that GPU does not exist.
    """
    if requested == "cpu":
        return DeviceChoice("cpu")
    if requested != "auto" and not _is_cuda_name(requested):
        raise InputError(f"There is no device {requested!r}; use auto, cpu, cuda or cuda:N.")
    import torch

    if not torch.cuda.is_available():
        if requested == "auto":
            return DeviceChoice("cpu")
        return DeviceChoice("cpu", ("No usable CUDA GPU was found, so the CPU computes instead.",))
    count = torch.cuda.device_count()
    if ":" in requested:
        number = int(requested.split(":")[1])
        if number >= count:
            raise InputError(f"There is no device {requested!r}; this machine has {count} GPU(s).")
        return DeviceChoice(requested)
    freest = max(range(count), key=lambda number: torch.cuda.mem_get_info(number)[0])
    return DeviceChoice(f"cuda:{freest}")


def _is_cuda_name(name: str) -> bool:
    kind, _, number = name.partition(":")
    return kind == "cuda" and (number.isdigit() or name == "cuda")


def leave_cores_free() -> None:
    """Let torch compute on half of the cores, unless OMP_NUM_THREADS says otherwise.

    Threads that wait for one another on a busy core made the network fifteen times slower on a
    two-core machine, while the second thread saved a quarter of its time when nothing else ran.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))


def to_device(array: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """Copy an array to a device; to a GPU through pinned memory, without waiting for it."""
    import torch

    tensor = torch.tensor(array)
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def autocast(device: torch.device) -> torch.autocast:
    """bf16 where the processor computes in it, else plain float32."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))


def has_bf16(device: torch.device) -> bool:
    """Whether this device multiplies bf16 in hardware.

    CUDA GPUs do from Ampere on, CPUs with AVX512-BF16 or AMX.
    """
    import torch

    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return major >= 8
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capable())
