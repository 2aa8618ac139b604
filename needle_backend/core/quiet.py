"""Keep image libraries from talking to the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Keep what image libraries print to the process's stderr away from the user.

    They write to file descriptor 2 directly (ITK's warnings, the NIfTI and GDCM libraries' errors);
    what matters of it comes back as an exception.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a window program may have no stderr at all
        yield
        return
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        os.close(sink)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
