"""Places to write to are checked before the work, not after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from needle_backend.core.errors import InputError
from needle_backend.core.files import check_writable


def check_outputs(inputs: Sequence[Path], wanted: Sequence[tuple[Path | None, str]]) -> None:
    """Refuse places that cannot be written, or would overwrite what must stay.

    Parameters
    ----------
    inputs
        What is read, and must not be written to.
    wanted
        Each output, None where it is not wanted, and how its name must end.

    Raises
    ------
    InputError
        When a name has the wrong ending, is an input's or another output's, or is not writable.
    """
    taken = {path.resolve() for path in inputs}
    for path, ending in wanted:
        if path is None:
            continue
        if not path.name.lower().endswith(ending):
            raise InputError(f"{path} must end in {ending}; give it another name.")
        if path.resolve() in taken:
            raise InputError(f"{path} is an input or another output; write somewhere else.")
        taken.add(path.resolve())
        check_writable(path)
