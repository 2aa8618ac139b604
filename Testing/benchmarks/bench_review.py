"""Measure a review of many needles in Slicer's scene: drawing, selecting, dragging, undoing.

    python Testing/benchmarks/bench_review.py --needles 100

Runs without a window and without rendering; the numbers are those of the module's own work.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING.parent)]

from slicer_harness.boot import boot  # noqa: E402

slicer = boot()

from needle_backend.core.needles import Needle  # noqa: E402
from slicer_harness.modules import load_module  # noqa: E402
from slicer_harness.needle_localization import QuickLocalizer, result_of, select  # noqa: E402

REPEATS = 20


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--needles", type=int, default=100)
    needles = implant(parser.parse_args().needles)
    module = load_module(TESTING.parent / "NeedleLocalization" / "NeedleLocalization.py")
    from NeedleLocalizationLib.needle_nodes import implant_of_result, write_implant
    from NeedleLocalizationLib.self_test import add_example_volume

    volume_node = add_example_volume()
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
    module.close(panel)


if __name__ == "__main__":
    main()
