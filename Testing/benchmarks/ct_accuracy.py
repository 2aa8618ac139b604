"""Accuracy of the CT localizer on simulated cases: simulate, locate, evaluate, print JSON.

    python Testing/benchmarks/ct_accuracy.py --settings Testing/benchmarks/ct_clinical.toml \
        --cases 20 --seed 9001 --output runs/clinical

Every case is located twice, with the number of needles given and without. Cases and detections that
are already there are kept, so that a stopped run goes on and a change after the network is measured
in a minute. Everything reported here is simulated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from needle_backend.core.device import choose_device
from needle_backend.core.files import written_whole
from needle_backend.core.markups import write_markups
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken
from needle_backend.core.runner import choose_runner
from needle_backend.core.settings import read_toml
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume
from needle_backend.core.weights import find_weights
from needle_backend.ct.detect import detect_ends
from needle_backend.ct.detections import read_detections, write_detections
from needle_backend.ct.ends import SliceEnds
from needle_backend.ct.localize import needles_from_ends
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.training.backgrounds import find_backgrounds
from needle_backend.ct.training.evaluate import evaluate_path
from needle_backend.ct.training.factory import CaseOrder, simulate_cases
from needle_backend.ct.training.settings import SimulationSettings
from needle_backend.ct.weights import load_network


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = _arguments()
    output: Path = arguments.output
    order = CaseOrder(
        settings=read_toml(SimulationSettings, arguments.settings),
        seed=arguments.seed,
        cases=arguments.cases,
        output=output / "cases",
        backgrounds=find_backgrounds(arguments.backgrounds) if arguments.backgrounds else (),
    )
    folders = list(simulate_cases(order, choose_runner(arguments.workers)))
    network, inputs = load_network(
        find_weights(arguments.weights), choose_device(arguments.device).device
    )
    for folder in folders:
        volume = read_volume(folder / "ct.nii.gz")
        stored = output / "detections" / f"{folder.name}.json"
        if not stored.exists():
            write_detections(stored, detect_ends(network, volume.array, inputs))
        locate_twice(folder, volume, read_detections(stored), output, arguments.solver)
    report = {}
    for mode in ("count_given", "count_unknown"):
        report[mode] = evaluate_path(output / "cases", output / mode, arguments.gate)
    text = json.dumps(report, indent=1)
    (output / "report.json").write_text(text, encoding="utf-8")
    print(text)


def locate_twice(folder: Path, volume: Volume, seen: SliceEnds, output: Path, solver: str) -> None:
    """Match the ends of one case with its count given and without, and write both results."""
    tophat = white_top_hat(volume.array)
    count = len(read_truth(folder / "truth.json"))
    unknown = LocateOptions(solver=solver)
    for mode, options in (
        ("count_given", replace(unknown, count=count or None)),
        ("count_unknown", unknown),
    ):
        result = needles_from_ends(seen, volume, tophat, options, CancelToken())
        place = output / mode / folder.name
        write_markups(place / "needles.mrk.json", result.needles)
        with written_whole(place / "result.json") as temporary:
            temporary.write_text(json.dumps(result.to_dict()), encoding="utf-8")
        write_detections(place / "detections.json", seen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--solver", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gate", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
