"""Regions of an image as people type them."""

from __future__ import annotations

from needle_backend.core.errors import InputError


def parse_region(text: str | None) -> tuple[int, int, int, int] | None:
    """Return x0, y0, x1, y1 of "x0,y0,x1,y1"; None of None.

    Raises
    ------
    InputError
        When it is no such text.
    """
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--crop {text} is no region; give four whole numbers, x0,y0,x1,y1."
        ) from error
    return x0, y0, x1, y1
