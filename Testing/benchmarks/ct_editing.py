"""How often one click finds a needle, and Snap a shaft, on simulated cases; prints JSON.

    needles simulate ct --cases 10 --seed 5151 --output CASES \
        --settings Testing/benchmarks/ct_clinical.toml
    python Testing/benchmarks/ct_editing.py CASES

One click: each true needle in turn is taken away and asked for by a click near its tip, the others
being known. Snap: each needle in turn is drawn beside its shaft, both ends by the same and to
opposite sides, the others being where they belong. Everything reported here is simulated.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.geometry import unit_vectors
from needle_backend.core.needles import LocateOptions
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.service.work import NeedleWork

CLICK_SD_MM = 1.0
"""A click lies so far from the tip, in each direction of the slice."""
RIGHT_HUB_MM = 5.0
DRAWN_OFF_MM = (1.0, 2.0, 3.0, 4.0)
ON_SHAFT_MM = 1.0
"""Both ends of a needle that Snap has put right lie so near to the true line, across it."""


def main() -> None:
    """Ask for every needle of some cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    work = NeedleWork()
    clicks: list[str] = []
    snapped: dict[float, list[float]] = defaultdict(list)
    for truth in sorted(arguments.cases.glob("*/truth.json")):
        volume = read_volume(truth.parent / "ct.nii.gz")
        lines = np.array([(needle.tip_lps, needle.handle_lps) for needle in read_truth(truth)])
        for number, line in enumerate(lines):
            others = np.delete(lines, number, axis=0)
            clicks.append(clicked(work, volume, line, others, rng))
            for off_mm in DRAWN_OFF_MM:
                snapped[off_mm].append(snap(work, volume, line, others, off_mm))
    print(json.dumps({"one_click": click_report(clicks), "snap": snap_report(snapped)}, indent=1))


def clicked(
    work: NeedleWork,
    volume: Volume,
    line: np.ndarray,
    others: np.ndarray,
    rng: np.random.Generator,
) -> str:
    """Click near a tip; return whether the hub found is the "right" one, "wrong", or "none"."""
    click = line[0] + np.append(rng.normal(0.0, CLICK_SD_MM, 2), 0.0)
    try:
        found = work.find_handle(volume, click, np.zeros((0, 3)), others, LocateOptions())
    except InputError:
        return "none"
    return "right" if np.linalg.norm(found[1] - line[1]) <= RIGHT_HUB_MM else "wrong"


def snap(
    work: NeedleWork, volume: Volume, line: np.ndarray, others: np.ndarray, off_mm: float
) -> float:
    """Draw a needle off its shaft and snap it; return how far its farther end then lies off, mm."""
    across = _across(line)
    drawn = line + off_mm * np.stack((across, -across))
    try:
        fitted = work.fit(volume, drawn, others, LocateOptions())
    except InputError:
        return off_mm
    return float(np.abs((fitted - line) @ across).max())


def _across(line: np.ndarray) -> np.ndarray:
    x, y, _ = line[1] - line[0]
    return unit_vectors(np.array([-y, x, 0.0]))


def click_report(answers: list[str]) -> dict:
    """Return the share of each answer."""
    return {"needles": len(answers)} | {
        answer: round(answers.count(answer) / len(answers), 3)
        for answer in ("right", "wrong", "none")
    }


def snap_report(snapped: dict[float, list[float]]) -> list[dict]:
    """Return, by how far needles were drawn off, how far they lay off afterwards."""
    return [
        {
            "drawn_off_mm": off_mm,
            "median_mm": round(float(np.median(left_mm)), 2),
            "on_shaft": round(float(np.mean(np.array(left_mm) <= ON_SHAFT_MM)), 3),
        }
        for off_mm, left_mm in snapped.items()
    ]


if __name__ == "__main__":
    main()
