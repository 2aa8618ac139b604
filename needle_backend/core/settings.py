"""Settings files: nested dataclasses read from TOML, and draws from the ranges in them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from needle_backend.core.errors import InputError

Range = tuple[float, float]
T = TypeVar("T")


def read_toml(kind: type[T], path: Path | None) -> T:
    """Read a (nested) settings dataclass from a TOML file.

    What the file leaves out keeps its default; without a file, everything does.

    Raises
    ------
    InputError
        When the file cannot be read, is not TOML, or names something unknown or of a wrong type.
    """
    if path is None:
        return kind()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from error
    return _from_table(kind, table, path)


def _from_table(kind: type[T], table: dict[str, Any], path: Path) -> T:
    defaults = kind()
    known = {item.name for item in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise InputError(
                f"{path} sets {name!r}, which {kind.__name__} does not have; "
                f"it has {', '.join(sorted(known))}."
            )
        values[name] = _converted(getattr(defaults, name), value, name, path)
    return kind(**values)


def _converted(default: Any, value: Any, name: str, path: Path) -> Any:
    if is_dataclass(default) and isinstance(value, dict):
        return _from_table(type(default), value, path)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(default) is not type(value):
        raise InputError(f"{path}: {name} must look like {default!r}, not {value!r}.")
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
