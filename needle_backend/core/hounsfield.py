"""Whether values are Hounsfield units, and what it takes to work with them."""

from __future__ import annotations

import numpy as np

from needle_backend.core.errors import InputError

AIR_HU = -1000
"""Fills what lies outside the image."""

LOWEST_HU = -1024
"""Scanners write lower values only as padding outside the field of view."""

_HIGHEST_PLAUSIBLE_HU = 40_000
_SMALLEST_PLAUSIBLE_RANGE_HU = 300


def as_hounsfield(values: np.ndarray, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return values ready to work with, and warnings where they cannot be Hounsfield units.

    Values are never rescaled by a guess: the reader of the warning knows, the values do not tell.

    Parameters
    ----------
    values
        Any shape; integers, floats or booleans.
    source
        What to call the volume in messages.

    Returns
    -------
    values
        int16 where integers fit, else float32; padding raised to :data:`LOWEST_HU`, and what is not
        a number replaced by :data:`AIR_HU`.
    warnings
        Sentences.

    Raises
    ------
    InputError
        When the values are not numbers or all the same.
    """
    if values.dtype.kind not in "buif":
        raise InputError(f"{source} holds no plain numbers ({values.dtype}); a CT is needed.")
    warnings = []
    if values.dtype.kind == "f":
        is_number = np.isfinite(values)
        if not is_number.any():
            raise InputError(f"{source} holds no numbers, only NaN; a CT in HU is needed.")
        if not is_number.all():
            values = np.where(is_number, values, AIR_HU)
            warnings.append(
                f"{source}: {1 - is_number.mean():.1%} of the voxels are not numbers (NaN or "
                "infinite) and are taken for air."
            )
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"{source} has the value {low:g} everywhere; a CT in HU is needed.")
    doubt = _doubt(values.dtype, low, high)
    if doubt:
        warnings.append(f"{source}: {doubt}; needles may be missed or misplaced.")
    fits_int16 = values.dtype.kind != "f" and high <= np.iinfo(np.int16).max
    if low < LOWEST_HU:
        values = np.maximum(values, LOWEST_HU)
    return values.astype(np.int16 if fits_int16 else np.float32, copy=False), tuple(warnings)


def _doubt(dtype: np.dtype, low: float, high: float) -> str:
    """Say in words why values cannot be Hounsfield units; empty if they can."""
    if dtype.itemsize == 1:
        return "8-bit values are not Hounsfield units"
    if high - low < _SMALLEST_PLAUSIBLE_RANGE_HU or high > _HIGHEST_PLAUSIBLE_HU:
        return f"values from {low:g} to {high:g} are not Hounsfield units"
    if low >= 0:
        return (
            f"values from {low:g} to {high:g} are not Hounsfield units (none is negative; perhaps "
            "an offset such as 1024 was not subtracted)"
        )
    return ""
