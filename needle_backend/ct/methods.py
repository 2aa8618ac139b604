"""The ways there are to find needles, by name."""

from __future__ import annotations

from collections.abc import Callable

from needle_backend.core.errors import InputError
from needle_backend.ct.classical import ClassicalLocalizer
from needle_backend.ct.localize import InProcessLocalizer, Localizer

METHODS: dict[str, Callable[[], Localizer]] = {
    "network": InProcessLocalizer,
    "classical": ClassicalLocalizer,
}


def localizer_of(method: str) -> Localizer:
    """Return what finds needles by a method.

    Raises
    ------
    InputError
        When there is no such method.
    """
    if method not in METHODS:
        raise InputError(f"There is no method '{method}'; choose one of {', '.join(METHODS)}.")
    return METHODS[method]()
