"""Measure a review of many needles in Slicer's scene: drawing, selecting, dragging, undoing.

    python Testing/benchmarks/bench_review.py --needles 100

Runs without a window and without rendering; the numbers are those of the module's own work. Scores
while dragging come from the backend process, on a volume of 20 x 512 x 512 voxels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING.parent)]

from slicer_harness.boot import boot  # noqa: E402

slicer = boot()

import numpy as np  # noqa: E402

from needle_backend.core.needles import Needle  # noqa: E402
from slicer_harness.modules import load_module  # noqa: E402
from slicer_harness.needle_localization import QuickLocalizer, result_of, select  # noqa: E402

REPEATS = 20
ANSWER_S = 180.0


def implant(count: int) -> tuple[Needle, ...]:
    """Return a grid of needles 6 mm apart, every fifth doubtful."""
    return tuple(
        Needle(
            (6.0 * (i % 10), 6.0 * (i // 10), float(i % 7)),
            (6.0 * (i % 10) + 1.0, 6.0 * (i // 10), -180.0),
            confidence=0.9,
            doubts=("faint shaft",) if i % 5 == 0 else (),
            id=f"N{i + 1:02d}",
        )
        for i in range(count)
    )


def measured_ms(action: Callable[[int], None]) -> list[float]:
    """Return how long each repetition took, all that Qt does afterwards included."""
    times_ms = []
    for repetition in range(REPEATS):
        started = time.perf_counter()
        action(repetition)
        slicer.app.processEvents()
        times_ms.append(1000 * (time.perf_counter() - started))
    return times_ms


def report(what: str, times_ms: list[float]) -> None:
    print(f"{what:<28}{statistics.median(times_ms):8.1f} ms {max(times_ms):8.1f} ms at most")


def add_volume() -> Any:
    """Add a volume of noise, as large as a clinical CT with thick slices."""
    voxels = np.random.default_rng(1).normal(0, 30, (20, 512, 512)).astype(np.int16)
    ijk_to_ras = np.diag([-0.9, -0.9, 5.0, 1.0])
    ijk_to_ras[:3, 3] = 230.0, 230.0, -180.0
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=ijk_to_ras, name="CT")


def score_times_ms(panel: Any, number: str) -> list[float]:
    """Return how long after each step of a drag its score is seen; the first one is left out.

    With the first one the backend process starts and the volume is sent.
    """
    panel.logic.close()  # the stand-in; from now on the session's process is asked
    line = select(panel, number)
    panel.ui.editButton.click()
    slicer.app.processEvents()
    line.InvokeEvent(line.PointStartInteractionEvent)
    live_scoring, times_ms = panel._review._live, []
    for step in range(REPEATS + 1):
        started = time.perf_counter()
        line.SetNthControlPointPosition(0, 3.0 * step, 2.0, 0.0)
        while live_scoring.is_waiting:
            if time.perf_counter() - started > ANSWER_S:
                raise TimeoutError(f"no score; the panel says: {panel.ui.statusLabel.text}")
            slicer.app.processEvents()
            time.sleep(0.001)  # the process needs the processor, too
        times_ms.append(1000 * (time.perf_counter() - started))
    line.InvokeEvent(line.PointEndInteractionEvent)
    return times_ms[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--needles", type=int, default=100)
    needles = implant(parser.parse_args().needles)
    module = load_module(TESTING.parent / "NeedleLocalization" / "NeedleLocalization.py")
    from NeedleLocalizationLib.needle_nodes import implant_of_result, write_implant

    volume_node = add_volume()
    result = result_of(needles)
    started = time.perf_counter()
    write_implant(volume_node, implant_of_result(volume_node, result))
    report(f"draw {len(needles)} needles", [1000 * (time.perf_counter() - started)])

    panel = module.open()
    panel.logic.use(QuickLocalizer(result))
    slicer.app.processEvents()
    ui = panel.ui
    numbers = [needle.id for needle in needles]
    report("select a row", measured_ms(lambda i: select(panel, numbers[i]) and None))
    line = select(panel, numbers[0])
    ui.editButton.click()
    slicer.app.processEvents()
    line.InvokeEvent(line.PointStartInteractionEvent)
    report("one step of a drag", measured_ms(lambda i: line.SetNthControlPointPosition(0, i, 0, 0)))
    line.InvokeEvent(line.PointEndInteractionEvent)
    slicer.app.processEvents()
    report("accept", measured_ms(lambda i: ui.acceptButton.click()))
    report("undo", measured_ms(lambda i: ui.undoButton.click()))
    report("score while dragging", score_times_ms(panel, numbers[1]))
    module.close(panel)


if __name__ == "__main__":
    main()
