"""Time of matching a dense case, 44 needles as 65 tips x 82 handles: medians as JSON.

    python Testing/benchmarks/bench_matching.py

"score" poses the problem (feasible pairs, the picture between their ends, shared lengths), the rest
solves it, conflicts included. Processor time on one core, so that other work on the machine counts
little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ct.synthetic import Settings, add_ends, make_case

from needle_backend.core.needles import LocateOptions
from needle_backend.ct.ends import HANDLE, TIP
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.match import match
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.score import score_pairs
from needle_backend.ct.solvers import SOLVERS


def main() -> None:
    """Time scoring and every solver on cases of one size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    pair_counts = []
    for seed in range(arguments.cases):
        case = make_case(seed, Settings(needles=(44, 44)))
        tophat = white_top_hat(case.volume.array)
        tips = add_ends(fuse_over_slices(case.detections, TIP, case.volume), 65, seed)
        handles = add_ends(fuse_over_slices(case.detections, HANDLE, case.volume), 82, seed)
        for solver in SOLVERS:
            options = LocateOptions(solver=solver)
            score = _bound(score_pairs, tips, handles, tophat, case.volume, options)
            pairs = score()
            solve = _bound(match, pairs, tips, handles, 44, solver)
            solve()  # once, to import what it needs
            seconds.setdefault(solver, []).extend(_timed(solve, arguments.repeats))
            if solver == "default":
                pair_counts.append(len(pairs))
                seconds.setdefault("score", []).extend(_timed(score, arguments.repeats))
    medians = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
    report = {
        "pairs": statistics.median(pair_counts),
        "median_ms": {name: round(value, 2) for name, value in medians.items()},
        "score_and_default_ms": round(medians["score"] + medians["default"], 2),
        "score_and_exact_ms": round(medians["score"] + medians["exact"], 2),
        "slowest_ms": {name: round(1000 * max(values), 2) for name, values in seconds.items()},
    }
    print(json.dumps(report, indent=1))


def _bound(function: Callable, *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _timed(function: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return seconds


if __name__ == "__main__":
    main()
