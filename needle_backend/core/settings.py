"""Settings files: nested dataclasses read from TOML, and draws from the ranges in them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from needle_backend.core.errors import InputError

Range = tuple[float, float]
T = TypeVar("T")


def read_toml(kind: type[T], path: Path | None, onto: T | None = None) -> T:
    """Read a (nested) settings dataclass from a TOML file.

    What the file leaves out stays as in ``onto``, or keeps its default; without a file, everything
    does.

    Raises
    ------
    InputError
        When the file cannot be read, is not TOML, or names something unknown or of a wrong type.
    """
    before = kind() if onto is None else onto
    if path is None:
        return before
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from error
    return _changed(before, table, path)


def _changed(before: T, table: dict[str, Any], path: Path) -> T:
    known = {item.name for item in fields(before)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise InputError(
                f"{path} sets {name!r}, which {type(before).__name__} does not have; "
                f"it has {', '.join(sorted(known))}."
            )
        values[name] = _converted(getattr(before, name), value, name, path)
    return replace(before, **values)


def _converted(before: Any, value: Any, name: str, path: Path) -> Any:
    if is_dataclass(before) and isinstance(value, dict):
        return _changed(before, value, path)
    if isinstance(before, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(before) is not type(value):
        raise InputError(f"{path}: {name} must look like {before!r}, not {value!r}.")
    return value


def check_names(setting: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Check a setting that lists names.

    Raises
    ------
    InputError
        When it lists nothing, or a name that is not known.
    """
    strange = sorted(set(names) - set(known))
    if strange or not names:
        has = f"has {', '.join(strange)}" if strange else "is empty"
        raise InputError(f"{setting} {has}; choose from {', '.join(known)}.")


def draw(rng: np.random.Generator, bounds: Range) -> float:
    """Draw uniformly between two bounds."""
    return float(rng.uniform(bounds[0], bounds[1]))


def draw_int(rng: np.random.Generator, bounds: Range) -> int:
    """Draw a whole number between two bounds, both included."""
    return int(rng.integers(int(bounds[0]), int(bounds[1]) + 1))
