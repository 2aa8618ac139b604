"""How well stated doubts tell wrong needles from right ones; reads what ct_accuracy.py left.

    python Testing/benchmarks/ct_doubts.py runs/hard [more folders] [--plot reliability.png]

Prints, with the count given and without: how many wrong needles are flagged (carry a doubt) and how
many right ones; how many missed needles show as an unmatched end, and how many such ends are shown
a case; in how many cases the estimated count was right; and the points of a reliability plot of the
confidence.
Everything reported here is simulated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.files import written_whole
from needle_backend.core.needles import LocateResult, Needle, Point
from needle_backend.core.truth import read_truth
from needle_backend.ct.training.calibrate import reliability
from needle_backend.ct.training.evaluate import compare

GATE_MM = 5.0
MODES = ("count_given", "count_unknown")


@dataclass(frozen=True)
class Judged:
    """One case: what was found, which needles of it are right, and which true ones were missed."""

    result: LocateResult
    right: np.ndarray
    missed: tuple[Needle, ...]
    true_count: int


def main() -> None:
    """Report on all cases of some folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    report = {}
    for mode in MODES:
        cases = [case for folder in arguments.folders for case in read_cases(folder, mode)]
        report[mode] = doubt_report(cases)
    if arguments.plot:
        write_reliability_plot(arguments.plot, report["count_given"]["reliability"])
    print(json.dumps(report, indent=1))


def read_cases(folder: Path, mode: str) -> Iterator[Judged]:
    """Read the located cases of one output folder of ct_accuracy.py."""
    for path in sorted((folder / mode).glob("*/result.json")):
        result = LocateResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
        truth = read_truth(folder / "cases" / path.parent.name / "truth.json")
        found = compare(truth, result.needles, GATE_MM).pairs
        right = np.isin(np.arange(len(result.needles)), found[:, 1])
        missed = tuple(truth[i] for i in range(len(truth)) if i not in set(found[:, 0]))
        yield Judged(result, right, missed, len(truth))


def doubt_report(cases: list[Judged]) -> dict:
    """Sum up some cases."""
    needles = [needle for case in cases for needle in case.result.needles]
    right = np.concatenate([case.right for case in cases])
    flagged = np.array([bool(needle.doubts) for needle in needles])
    confidence = np.array([needle.confidence for needle in needles], float)
    visible = [shows(needle, case.result) for case in cases for needle in case.missed]
    return {
        "cases": len(cases),
        "right": int(right.sum()),
        "wrong": int((~right).sum()),
        "wrong_flagged": _share(flagged[~right]),
        "right_flagged": _share(flagged[right]),
        "missed": len(visible),
        "missed_visible": _share(np.array(visible, bool)),
        "loose_tips_a_case": _mean([len(case.result.unmatched_tips) for case in cases]),
        "loose_handles_a_case": _mean([len(case.result.unmatched_handles) for case in cases]),
        "count_right_cases": sum(len(case.result.needles) == case.true_count for case in cases),
        "reliability": [
            {name: round(value, 3) for name, value in point.items()}
            for point in reliability(confidence, right)
        ],
    }


def shows(needle: Needle, result: LocateResult) -> bool:
    """Whether a missed needle's tip or handle is shown as an end without a partner."""
    tip, handle = needle.tip_lps, needle.handle_lps
    return _near(tip, result.unmatched_tips) or _near(handle, result.unmatched_handles)


def _near(point: Point, others: tuple[Point, ...]) -> bool:
    distances = np.linalg.norm(np.reshape(others, (-1, 3)) - np.array(point), axis=1)
    return bool((distances <= GATE_MM).any())


def write_reliability_plot(path: Path, points: list[dict]) -> None:
    """Draw the share of right needles against the confidence stated, beside the ideal line."""
    size, margin = 480, 60
    image = np.full((size, size, 3), 255, np.uint8)
    grey, ink, blue = (215, 215, 215), (40, 40, 40), (180, 90, 20)

    def place(confidence: float, correct: float) -> tuple[int, int]:
        span = size - 2 * margin
        return round(margin + confidence * span), round(size - margin - correct * span)

    def write(text: str, at: tuple[int, int]) -> None:
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, 1, cv2.LINE_AA)

    for tick in np.linspace(0, 1, 6):
        cv2.line(image, place(tick, 0), place(tick, 1), grey)
        cv2.line(image, place(0, tick), place(1, tick), grey)
        write(f"{tick:.1f}", (place(tick, 0)[0] - 10, size - margin + 18))
        write(f"{tick:.1f}", (margin - 32, place(0, tick)[1] + 4))
    cv2.line(image, place(0, 0), place(1, 1), ink, 1, cv2.LINE_AA)
    corners = [place(point["confidence"], point["correct"]) for point in points]
    cv2.polylines(image, [np.array(corners)], False, blue, 2, cv2.LINE_AA)
    for point, corner in zip(points, corners, strict=True):
        cv2.circle(image, corner, 4, blue, -1, cv2.LINE_AA)
        write(str(point["needles"]), (corner[0] + 7, corner[1] + 14))
    write("stated confidence (simulated needles, their number beside each point)", (15, size - 15))
    write("share of right needles", (15, margin - 25))
    with written_whole(path) as temporary:
        cv2.imwrite(str(temporary), image)


def _mean(counts: list[int]) -> float:
    return round(sum(counts) / len(counts), 1)


def _share(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 3) if len(values) else None


if __name__ == "__main__":
    main()
