"""Volumes of any size to measure on: the slices of a CT, there and back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume

SAMPLE = Path(__file__).resolve().parents[2] / "Resources" / "Sample" / "sample_ct.nii.gz"
"""Beside the package, in the source tree as in an installed extension."""
AIR_HU = -1000


def read_base(path: Path | None) -> Volume:
    """Read the CT to measure on; the bundled sample when none is given.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    if path is None and not SAMPLE.exists():
        raise InputError(f"The sample {SAMPLE} is not there; give a CT with --ct.")
    return read_volume(path or SAMPLE)


def with_slices(base: Volume, slices: int, size_px: int | None = None) -> Volume:
    """Return a volume of so many slices of the base: forwards, backwards, forwards...

    Parameters
    ----------
    size_px
        Rows and columns; cut, or filled with air, around the middle. None keeps them.
    """
    count = len(base.array)
    there_and_back = np.concatenate((np.arange(count), np.arange(count - 2, 0, -1)))
    array = base.array[np.resize(there_and_back, slices)]
    if size_px is not None:
        array = _fitted(_fitted(array, 1, size_px), 2, size_px)
    return replace(base, array=array, source=f"{slices} slices of {base.source}")


def _fitted(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Cut or pad one axis around its middle."""
    extra = array.shape[axis] - size
    if extra >= 0:
        return np.take(array, np.arange(extra // 2, extra // 2 + size), axis)
    before = -extra // 2
    pad = [(0, 0)] * array.ndim
    pad[axis] = (before, -extra - before)
    return np.pad(array, pad, constant_values=AIR_HU)
