"""Packages that only some commands need, and what to say when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from needle_backend.core.errors import InputError


@contextmanager
def training_packages(task: str) -> Iterator[None]:
    """Import the packages of the extra ``train`` in this block.

    Parameters
    ----------
    task
        What needs them, as the beginning of a sentence.

    Raises
    ------
    InputError
        When one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"{task} needs the package {error.name}; install the extra: "
            "pip install 'needle-backend[train]'."
        ) from error
