"""Needles as Slicer's line markups: one .mrk.json file for all of them.

Control point 0 is the tip ("T"), 1 the handle ("H"), in LPS mm. Slicer overwrites a line's own
description and drops node attributes on saving, so what is known about a needle goes into control
point 0's description, as JSON that can also be read:
``{"score": 41.2, "confidence": 0.93, "doubts": ["a neighbour is 2 mm away"]}``, and under "review"
what was done to the needle (:class:`needle_backend.core.review_log.ReviewLog`).
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.needles import Needle, Point, as_point
from needle_backend.core.review_log import ReviewedNeedle, ReviewLog

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
_NO_NEEDLES = {
    "type": "Fiducial",
    "name": "No needles",
    "coordinateSystem": "LPS",
    "coordinateUnits": "mm",
    "controlPoints": [],
}
"""Stands where there are no needles: a file without any markup is an error to Slicer."""
_GOLDEN_RATIO = 0.618034
_LEAST_LUMINANCE = 0.5


def write_markups(path: Path, needles: Sequence[Needle], logs: Sequence[ReviewLog] = ()) -> None:
    """Write all needles into one .mrk.json, which Slicer loads as one line each.

    Without needles it holds an empty list of points, whose name says so.

    Parameters
    ----------
    logs
        What was done to each needle; none where nothing was.

    Raises
    ------
    InputError
        When the place is not writable.
    """
    logs = logs or [ReviewLog()] * len(needles)
    lines = [_line(n, log, i) for i, (n, log) in enumerate(zip(needles, logs, strict=True))]
    with written_whole(path) as temporary:
        content = {"@schema": _SCHEMA, "markups": lines or [_NO_NEEDLES]}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_markups(path: Path) -> tuple[Needle, ...]:
    """Read the lines of a .mrk.json written by :func:`write_markups` or saved by Slicer.

    Lines may be in LPS or RAS; markups that are no lines are passed over. A line without a name (as
    Slicer saves it) is named after the file when it is the only one.

    Raises
    ------
    InputError
        When the file is missing, is no markups file, or a line has an end that was not placed.
    """
    return tuple(reviewed.needle for reviewed in read_reviewed_markups(path))


def read_reviewed_markups(path: Path) -> tuple[ReviewedNeedle, ...]:
    """As :func:`read_markups`, with what was done to each needle as far as the file knows.

    Raises
    ------
    InputError
        As :func:`read_markups` does, and when a needle's history is damaged.
    """
    try:
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"]
        lines = [markup for markup in markups if markup["type"] == "Line"]
        lone_name = path.name.removesuffix(".json").removesuffix(".mrk") if len(lines) == 1 else ""
        return tuple(_reviewed(line, line.get("name") or lone_name, path) for line in lines)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a .mrk.json.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a markups file; give a .mrk.json of lines from the tip to the handle."
        ) from error


def needle_colour(index: int) -> tuple[float, float, float]:
    """Return needle ``index``'s red, green and blue (0..1): bright, and unlike its neighbours'."""
    hue = (0.08 + index * _GOLDEN_RATIO) % 1.0
    saturation = (0.85, 0.55)[index % 2]
    colour = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0))
    # Pure blues vanish on a dark image: mix in white until they are light enough.
    luminance = colour @ (0.30, 0.59, 0.11)
    white = max(0.0, (_LEAST_LUMINANCE - luminance) / (1 - luminance))
    red, green, blue = (round(float(value), 3) for value in colour + white * (1 - colour))
    return red, green, blue


def describe(needle: Needle, log: ReviewLog | None = None) -> str:
    """Return what control point 0's description says about a needle and its review."""
    known = {
        "score": needle.score,
        "confidence": needle.confidence,
        "doubts": list(needle.doubts),
    }
    if log is not None and log.entries:
        known["review"] = log.to_list()
    return json.dumps(known, ensure_ascii=False)


def _line(needle: Needle, log: ReviewLog, index: int) -> dict[str, Any]:
    colour = list(needle_colour(index))
    return {
        "type": "Line",
        "name": needle.id,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": True,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": 2,
        "controlPoints": [
            _control_point("1", "T", needle.tip_lps, describe(needle, log)),
            _control_point("2", "H", needle.handle_lps, ""),
        ],
        # Enabled, the length would be shown beside every needle and slow the views down.
        "measurements": [
            {
                "name": "length",
                "enabled": False,
                "value": needle.length_mm,
                "units": "mm",
                "printFormat": "%-#4.4g%s",
            }
        ],
        "display": {
            "visibility": True,
            "opacity": 1.0,
            "color": colour,
            # Points are selected by default, so this is the colour that is seen.
            "selectedColor": colour,
            "propertiesLabelVisibility": True,
            "pointLabelsVisibility": False,
        },
    }


def _control_point(id: str, label: str, position: Point, description: str) -> dict[str, Any]:
    return {
        "id": id,
        "label": label,
        "description": description,
        "position": list(position),
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


def _reviewed(line: dict[str, Any], name: str, path: Path) -> ReviewedNeedle:
    points = line["controlPoints"]
    placed = [p for p in points if p.get("positionStatus", "defined") == "defined"]
    if len(points) != 2 or len(placed) != 2:
        raise InputError(
            f"{path} has a line {name or 'without a name'} of {len(placed)} placed points; a "
            "needle has two, its tip and its handle."
        )
    if line.get("coordinateUnits", "mm") != "mm":
        raise InputError(f"{path} gives positions in {line['coordinateUnits']}; mm are needed.")
    system = line.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        raise InputError(f"{path} gives positions in {system}; LPS or RAS is needed.")
    to_lps = np.array([1.0, 1.0, 1.0] if system == "LPS" else [-1.0, -1.0, 1.0])
    tip, handle = (as_point(np.asarray(point["position"], float) * to_lps) for point in points)
    known = _known(points[0].get("description", ""))
    needle = Needle(
        tip_lps=tip,
        handle_lps=handle,
        score=float(known.get("score") or 0.0),
        confidence=known.get("confidence"),
        doubts=tuple(known.get("doubts", ())),
        id=name,
    )
    return ReviewedNeedle(needle, ReviewLog.from_list(known.get("review", ())))


def _known(description: str) -> dict[str, Any]:
    """Return what :func:`describe` wrote; a description typed by somebody says nothing of that."""
    try:
        known = json.loads(description)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}
