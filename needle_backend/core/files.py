"""Output files appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from needle_backend.core.errors import BackendError, InputError


def check_writable(path: Path) -> None:
    """Make sure that ``path`` can be written, without leaving anything behind.

    Missing parent folders are fine: :func:`written_whole` makes them.

    Raises
    ------
    InputError
        When the place is a folder, is write-protected or lies where nothing can be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it.")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"{path} is write-protected; choose another place.")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        # Only an attempt tells: permission bits say little to root and on network drives.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({_reason(error)}); choose another place."
        ) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes ``path`` when the block succeeds.

    Parameters
    ----------
    path
        Where the file shall be; an existing file is replaced, missing folders are made.

    Yields
    ------
    Path
        A sibling with the same suffixes; removed when the block fails or is interrupted.

    Raises
    ------
    InputError
        When the place is not writable.
    BackendError
        When writing fails on the way (a full disk).
    """
    check_writable(path)
    temporary = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise BackendError(f"{path} could not be written ({_reason(error)}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
