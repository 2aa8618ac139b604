"""Time of scoring and matching: a dense case, and cases of growing size."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from needle_backend.bench.synthetic import Settings, add_ends, make_case
from needle_backend.bench.timing import Timing, in_ms, machine, scaling, timed
from needle_backend.core.device import leave_cores_free
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.ends import HANDLE, TIP, Ends
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.match import match
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import score_pairs
from needle_backend.ct.solvers import SOLVERS

NEEDLES, TIPS, HANDLES = 44, 65, 82
"""The dense case: so many needles, seen as so many tips and handles."""

Case = tuple[Volume, np.ndarray, Ends, Ends]
"""A volume, its top-hat, and the tips and handles seen in it."""


def bench_matching(cases: int, repeats: int, device: str, needles: Sequence[int]) -> dict[str, Any]:
    """Measure every solver on dense cases, and the default one on cases of so many needles.

    "score" poses the problem (feasible pairs, the picture between their ends, shared lengths), the
    solvers solve it, conflicts included.
    """
    leave_cores_free()
    facts = machine(device)
    a_case = [_dense_timings(dense_case(seed, NEEDLES), repeats, device) for seed in range(cases)]
    timings = {name: _median([case[name] for case in a_case]) for name in a_case[0]}
    report = {
        "benchmark": "matching",
        "machine": facts,
        "sizes": {"needles": NEEDLES, "tips": TIPS, "handles": HANDLES, "cases": cases},
        "repeats": repeats,
        **in_ms(timings),
    }
    if needles:
        grown = [_both(dense_case(0, count), repeats, device) for count in needles]
        report["scaling"] = scaling(needles, grown)
    return report


def dense_case(seed: int, needles: int) -> Case:
    """Make a case whose ends are filled up with false ones, as many for each needle as of 44."""
    case = make_case(seed, Settings(needles=(needles, needles)))
    tips = fuse_over_slices(case.detections, TIP, case.volume)
    handles = fuse_over_slices(case.detections, HANDLE, case.volume)
    return (
        case.volume,
        white_top_hat(case.volume.array),
        add_ends(tips, max(len(tips), round(needles * TIPS / NEEDLES)), seed),
        add_ends(handles, max(len(handles), round(needles * HANDLES / NEEDLES)), seed),
    )


def _dense_timings(case: Case, repeats: int, device: str) -> dict[str, Timing]:
    _, _, tips, handles = case
    timings = {}
    for solver in SOLVERS:
        options = LocateOptions(solver=solver)
        score = partial(_scored, case, options, device)
        pairs = score()
        timings[solver] = timed(partial(match, pairs, tips, handles, NEEDLES, solver), repeats)
        if solver == "default":
            timings["score"] = timed(score, repeats)
    timings["score_and_default"] = _both(case, repeats, device)
    return timings


def _both(case: Case, repeats: int, device: str) -> Timing:
    """Time scoring and the default solver together."""
    _, _, tips, handles = case

    def score_and_match() -> None:
        pairs = _scored(case, LocateOptions(), device)
        match(pairs, tips, handles, None, "default")

    return timed(score_and_match, repeats)


def _scored(case: Case, options: LocateOptions, device: str) -> Pairs:
    volume, tophat, tips, handles = case
    seen_lps = np.concatenate((tips.points_lps, handles.points_lps))
    return score_pairs(tips, handles, TopHat.around(seen_lps, tophat, volume, device), options)


def _median(timings: Sequence[Timing]) -> Timing:
    return Timing(
        statistics.median(timing.wall_s for timing in timings),
        statistics.median(timing.processor_s for timing in timings),
    )
