"""Backbones, windows, radii, angle, neighbours and backgrounds compared under one small budget.

    python Testing/benchmarks/ct_comparison.py --procedural TRAIN_PROC --real TRAIN_REAL \
        --tested-procedural DEV_PROC --tested-real DEV_REAL --seeds 1 2 --output runs/comparison

Each arm differs from the shipped recipe in what its line says, sees the same number of crops and is
tested on the same slices of cases that no arm trained on. From random weights so few crops teach
too little (AP 0.1 to 0.2), so arms start from the shipped network's backbone, as others start from
ImageNet's, with a new first layer, trunk and heads. Only arms with another backbone, and one to
compare them with, start from random weights and see more crops. Runs that are finished are kept:
stop it at any time, and give --arms to divide the work. --table prints what is there as Markdown.
Everything reported here is simulated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from needle_backend.cli.train import DEFAULT_RECIPE
from needle_backend.core.files import written_whole
from needle_backend.core.weights import find_weights, load_state
from needle_backend.ct.detect import detect_ends
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.network import TipHandleNetwork
from needle_backend.ct.preprocess import InputSettings
from needle_backend.ct.training.dataset import Case, load_cases
from needle_backend.ct.training.slice_score import GATE_DEG, GATE_MM
from needle_backend.ct.training.train import TrainSettings, read_recipe, train
from needle_backend.ct.weights import load_network

CROPS, CROPS_FROM_RANDOM, CROP_PX, BATCH = 3200, 16000, 128, 4
LEARNING_RATE, EMA_DECAY = 1e-3, 0.99
TESTED_SLICES = 40
LOWEST_SCORE = 0.02
"""Average precision looks at weak peaks too."""


@dataclass(frozen=True)
class Arm:
    """What one network is trained with: changes of the recipe's parts, which cases, which start."""

    name: str
    network: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    crops: dict[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ("procedural", "real")
    from_random: bool = False

    def settings(self, seed: int) -> TrainSettings:
        """Return the shipped recipe with this arm's changes and the common small budget."""
        recipe = read_recipe(DEFAULT_RECIPE)
        inputs = replace(recipe.input, **self.input)
        return TrainSettings(
            network=replace(recipe.network, channels=inputs.channels, **self.network),
            input=inputs,
            crops=replace(recipe.crops, size_px=CROP_PX, **self.crops),
            schedule=replace(
                recipe.schedule,
                epochs=1,
                crops_an_epoch=CROPS_FROM_RANDOM if self.from_random else CROPS,
                batch=BATCH,
                learning_rate=LEARNING_RATE,
                ema_decay=EMA_DECAY,
                validation_slices=8,
                seed=seed,
            ),
        )


ARMS = (
    Arm("shipped"),
    Arm("angle as a scalar", network={"angle_outputs": 1}),
    Arm("2D, no neighbours", input={"neighbours": 0}),
    Arm("window -1000..800", input={"windows_hu": ((-1000.0, 800.0),)}),
    Arm("window -150..450", input={"windows_hu": ((-150.0, 450.0),)}),
    Arm("procedural backgrounds only", data=("procedural",)),
    Arm("real backgrounds only", data=("real",)),
    Arm("radii 4 mm tip, 3 mm handle", crops={"handle_radius_mm": 3.0}),
    Arm("trunk of 32 channels", network={"width": 32}),
    Arm("radii 2.5 mm", crops={"tip_radius_mm": 2.5, "handle_radius_mm": 2.5}),
    Arm("2.5D, two neighbours a side", input={"neighbours": 2}),
    Arm("radii 6 mm", crops={"tip_radius_mm": 6.0, "handle_radius_mm": 6.0}),
    Arm("window 0..800", input={"windows_hu": ((0.0, 800.0),)}),
    Arm("hrnet_w18_small from random", from_random=True),
    Arm(
        "hrnet_w18_small_v2 from random",
        network={"backbone": "hrnet_w18_small_v2"},
        from_random=True,
    ),
    Arm("hrnet_w18 from random", network={"backbone": "hrnet_w18"}, from_random=True),
)
"""The pairs that matter most first, since a run may be stopped at any time."""


def main() -> None:
    """Train and test the arms, or print the table of those that are there."""
    options = _options()
    torch.set_num_threads(1)
    arms = [arm for arm in ARMS if not options.arms or arm.name in options.arms]
    if options.table:
        print(table(arms, options.output))
        return
    for seed in options.seeds:
        for arm in arms:
            run(arm, seed, options)


def run(arm: Arm, seed: int, options: argparse.Namespace) -> None:
    """Train one arm from one seed and test it, unless that was done."""
    place = options.output / arm.name.replace(" ", "_") / f"seed_{seed}"
    if (place / "result.json").exists():
        return
    shared = options.output / "cache"
    shared.mkdir(parents=True, exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "cache").exists():
        (place / "cache").symlink_to(shared.resolve(), target_is_directory=True)
    data = [getattr(options, name) for name in arm.data]
    settings = arm.settings(seed)
    start = None if arm.from_random else write_start(settings, place / "start.safetensors")
    weights = train(settings, data, place, start)
    network, inputs = load_network(find_weights(str(weights)), "cpu")
    result = {
        "seed": seed,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    for name in ("tested_procedural", "tested_real"):
        cases = load_cases([getattr(options, name)], shared)
        result[name] = tested(network, inputs, cases)
    print(arm.name, json.dumps(result), flush=True)
    with written_whole(place / "result.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")


def write_start(settings: TrainSettings, path: Path) -> Path:
    """Write random weights with the shipped network's backbone in them, but for its first layer."""
    torch.manual_seed(settings.schedule.seed)
    state = TipHandleNetwork(settings.network).state_dict()
    shipped = load_state(find_weights(None).path)
    known = [
        name for name in state if name.startswith("backbone.") and "conv1" not in name.split(".")[1]
    ]
    with written_whole(path) as temporary:
        save_file(state | {name: shipped[name] for name in known}, temporary)
    return path


def tested(network: TipHandleNetwork, inputs: InputSettings, cases: Sequence[Case]) -> dict:
    """Detect on slices with labels, spread evenly over the cases; score tips and handles."""
    places = [(case, k) for case in cases for k in sorted({label.slice for label in case.labels})]
    chosen = np.unique(np.linspace(0, len(places) - 1, TESTED_SLICES).astype(int))
    judged = {TIP: Judged(), HANDLE: Judged()}
    for case, k in (places[index] for index in chosen):
        array, reach = case.array(), inputs.neighbours
        first, last = max(0, k - reach), min(len(array), k + reach + 1)
        ends = detect_ends(network, np.asarray(array[first:last]), inputs, threshold=LOWEST_SCORE)
        on_slice = ends.take(ends.slice_index == k - first)
        for kind, judgement in judged.items():
            judgement.add(on_slice, case, k, kind)
    return {"tip": judged[TIP].report(), "handle": judged[HANDLE].report()}


@dataclass
class Judged:
    """Detections of one class over many slices, the best first taking the nearest label."""

    labels: int = 0
    scores: list[float] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    distance_mm: list[float] = field(default_factory=list)
    turn_deg: list[float] = field(default_factory=list)

    def add(self, ends: SliceEnds, case: Case, k: int, kind: int) -> None:
        """Judge one slice's detections; a hit is within 5 mm and 20 degrees of a free label."""
        name = "tip" if kind == TIP else "handle"
        wanted = [label for label in case.labels if label.slice == k and label.kind == name]
        found = ends.of_kind(kind)
        free = np.ones(len(wanted), bool)
        self.labels += len(wanted)
        at = np.array([(label.column, label.row) for label in wanted]).reshape(-1, 2)
        angle = np.array([label.angle_deg for label in wanted])
        for index in np.argsort(-found.score, kind="stable"):
            gap = at - (found.column[index], found.row[index])
            distance = case.pixel_mm * np.hypot(gap[:, 0], gap[:, 1])
            turn = np.abs((found.angle_deg[index] - angle + 180) % 360 - 180)
            near = np.where(free & (distance <= GATE_MM) & (turn <= GATE_DEG), distance, np.inf)
            hit = bool(np.isfinite(near).any())
            if hit:
                label = int(near.argmin())
                free[label] = False
                self.distance_mm.append(float(distance[label]))
                self.turn_deg.append(float(turn[label]))
            self.scores.append(float(found.score[index]))
            self.hits.append(hit)

    def report(self) -> dict[str, float]:
        """Average precision (area under the interpolated curve), best F1, and the hits' errors."""
        order = np.argsort(-np.array(self.scores), kind="stable")
        hits = np.cumsum(np.array(self.hits, bool)[order])
        if not len(hits) or not hits[-1]:
            return {"ap": 0.0, "f1": 0.0, "position_mm": float("nan"), "angle_deg": float("nan")}
        precision = hits / np.arange(1, len(hits) + 1)
        recall = hits / self.labels
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return {
            "ap": float(np.sum(np.diff(recall, prepend=0.0) * envelope)),
            "f1": float(np.max(2 * hits / (np.arange(1, len(hits) + 1) + self.labels))),
            "position_mm": float(np.mean(self.distance_mm)),
            "angle_deg": float(np.mean(self.turn_deg)),
        }


def table(arms: Sequence[Arm], output: Path) -> str:
    """Return a Markdown table: means over seeds, and the AP of each seed."""
    lines = [
        "| arm | seeds | mean AP | by seed | tips | handles | tips, real | handles, real "
        "| angle deg |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        files = sorted((output / arm.name.replace(" ", "_")).glob("seed_*/result.json"))
        results = [json.loads(path.read_text(encoding="utf-8")) for path in files]
        if results:
            lines.append(_row(arm.name, results))
    return "\n".join(lines)


def _row(name: str, results: list[dict]) -> str:
    sets = [(place, kind) for place in ("procedural", "real") for kind in ("tip", "handle")]
    ap = np.array([[r[f"tested_{place}"][kind]["ap"] for place, kind in sets] for r in results])
    angle = [r[f"tested_{place}"][kind]["angle_deg"] for r in results for place, kind in sets]
    seeds = " ".join(f"{value:.3f}" for value in ap.mean(1))
    cells = " | ".join(f"{value:.3f}" for value in ap.mean(0))
    return (
        f"| {name} | {len(results)} | {ap.mean():.3f} | {seeds} | {cells} | {np.mean(angle):.1f} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--procedural", type=Path, help="training cases, procedural backgrounds")
    parser.add_argument("--real", type=Path, help="training cases, real backgrounds")
    parser.add_argument("--tested-procedural", type=Path)
    parser.add_argument("--tested-real", type=Path, help="cases over patients kept out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
