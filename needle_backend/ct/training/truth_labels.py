"""Per-slice labels of a truth.json."""

from __future__ import annotations

import json
from pathlib import Path

from needle_backend.core.errors import InputError
from needle_backend.ct.training.labels import SliceEnd


def read_slice_ends(path: Path) -> tuple[SliceEnd, ...]:
    """Read the labelled ends that the simulator, or an import, wrote beside the needles.

    Raises
    ------
    InputError
        When the file has none.
    """
    try:
        items = json.loads(path.read_text(encoding="utf-8"))["slice_ends"]
        return tuple(SliceEnd(**item) for item in items)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} has no per-slice labels (slice_ends); simulate or import the case again."
        ) from error
