"""truth.json: the known needles of a simulated or annotated case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle


def write_truth(path: Path, needles: Sequence[Needle], extra: dict[str, Any]) -> None:
    """Write the needles' ends in LPS mm, with ``extra`` facts about the case beside them.

    ``path`` is written directly: a case folder as a whole is put in place by whoever makes it.
    """
    ends = [
        {"tip_lps": list(needle.tip_lps), "handle_lps": list(needle.handle_lps)}
        for needle in needles
    ]
    path.write_text(json.dumps({"needles": ends, **extra}, indent=1) + "\n", encoding="utf-8")


def read_truth(path: Path) -> tuple[Needle, ...]:
    """Read the needles of a truth.json.

    Raises
    ------
    InputError
        When the file is missing, is not JSON, or lacks tips and handles.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Needle.from_dict(item) for item in data["needles"])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a truth.json.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path} is not a truth.json: expected {{"needles": [{{"tip_lps": [x, y, z], '
            f'"handle_lps": [x, y, z]}}, ...]}} in millimetres.'
        ) from error
