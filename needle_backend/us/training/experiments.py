"""Run an experiment: every trial trained and tested, restartable, with a table at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from needle_backend.core.files import written_whole
from needle_backend.core.weights import find_weights
from needle_backend.us.training.coco_files import ANNOTATIONS, write_coco
from needle_backend.us.training.curves import Curve, draw_curves
from needle_backend.us.training.dataset import DataSource, load_set, read_labelled
from needle_backend.us.training.evaluate import frame_figures
from needle_backend.us.training.fusion import FusionOrder, FusionSettings, fuse_images
from needle_backend.us.training.patches import read_patches, write_patches
from needle_backend.us.training.train import (
    HISTORY,
    TrainSettings,
    read_history,
    read_recipe,
    train,
)
from needle_backend.us.training.trials import COCO, EXPERIMENTS, MIXED, SIZES, Size, Trial
from needle_backend.us.training.validate import validate
from needle_backend.us.weights import load_detector

RECIPES = Path(__file__).parent / "recipes"
_RESULT = "result.json"


@dataclass(frozen=True)
class Sources:
    """What an experiment is made of.

    Attributes
    ----------
    start
        YOLOX-Nano's weights (MS COCO).
    real
        Labelled punctures to train on.
    validation, test
        Labelled punctures to stop by, and to report on.
    backgrounds
        Folder of needle-free images.
    tips
        Folder of generated tip patches.
    """

    start: Path
    real: Path
    validation: Path
    test: Path
    backgrounds: Path
    tips: Path


def run_experiment(name: str, size_name: str, sources: Sources, output: Path) -> Path:
    """Run every trial that has no result yet; return the table's path.

    Parameters
    ----------
    name
        One of :data:`EXPERIMENTS`.
    size_name
        One of :data:`SIZES`.
    output
        Gets a folder a trial, ``NAME_SIZE.json`` and ``NAME_SIZE.md``, both renewed after each;
        experiments share it, so that no trial is run twice.

    Raises
    ------
    InputError
        When a source cannot be used.
    """
    size = SIZES[size_name]
    results: list[dict[str, Any]] = []
    for trial in EXPERIMENTS[name](size):
        results.append(run_trial(trial, size, sources, output / size_name))
        print(f"{trial.name}: AP0.1:0.5 {results[-1]['figures']['ap_01_05']:.3f}", flush=True)
        table = _write_report(results, output / f"{name}_{size_name}.json")
    return table


def _write_report(results: list[dict[str, Any]], report: Path) -> Path:
    """Write the results so far and their table; return the latter's path."""
    table = report.with_suffix(".md")
    for path, text in (
        (report, json.dumps(results, indent=1)),
        (table, "\n".join(table_rows(results))),
    ):
        with written_whole(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return table


def run_trial(trial: Trial, size: Size, sources: Sources, folder: Path) -> dict[str, Any]:
    """Train and test one model, or read what an earlier run found."""
    path = folder / trial.name / _RESULT
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    settings = _recipe(size, trial.seed)
    weights = _trained(trial, size, settings, sources, folder)
    result = {
        "trial": asdict(trial),
        "label": trial.label,
        "figures": _tested(weights, settings, sources.test, folder / "cache"),
    }
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _recipe(size: Size, seed: int) -> TrainSettings:
    settings = read_recipe(RECIPES / f"{size.recipe}.toml")
    return replace(settings, schedule=replace(settings.schedule, seed=seed))


def _trained(
    trial: Trial, size: Size, settings: TrainSettings, sources: Sources, folder: Path
) -> Path:
    """Train a model the trial's way and return its weights."""
    real = DataSource(sources.real, trial.real, trial.seed)
    images = len(real.chosen(len(read_labelled(sources.real))))
    cache, held = folder / "cache", (sources.validation,)
    if trial.arm == MIXED:
        both = [DataSource(_fused(trial, sources, folder)), real]
        weights = train(settings, both, folder / trial.name, held, sources.start, cache=cache)
        _draw_losses(folder / trial.name)
        return weights
    start = sources.start
    if trial.arm != COCO:
        start = folder / f"synthetic{trial.set_name}_seed{trial.seed}" / "us_yolot.safetensors"
        if not start.exists():
            fused = [DataSource(_fused(trial, sources, folder))]
            train(settings, fused, start.parent, initial=sources.start, cache=cache)
    passes = _passes_an_epoch(settings, images, size.least_steps)
    return train(settings, [real] * passes, folder / trial.name, held, start, cache=cache)


def _passes_an_epoch(settings: TrainSettings, images: int, least_steps: int) -> int:
    """Return how often an epoch goes through a small set, so that it too has its time."""
    schedule = settings.schedule
    steps = schedule.epochs * max(1, images // schedule.batch)
    return math.ceil(least_steps / steps) if steps < least_steps else 1


def _fused(trial: Trial, sources: Sources, folder: Path) -> Path:
    """Return the trial's fused set, made now if there is none yet."""
    output = folder / f"fused{trial.set_name}_seed{trial.seed}"
    if (output / ANNOTATIONS).exists():
        return output
    order = FusionOrder(
        backgrounds=sources.backgrounds if trial.base == "free" else _pictures(sources, folder),
        tips=sources.tips if trial.patches == "generated" else _cut_tips(sources, folder),
        output=output,
        count=trial.synthetic,
        seed=trial.seed,
        settings=FusionSettings(tips_per_image=trial.tips_per_image),
    )
    write_coco(output, list(fuse_images(order)), order.facts())
    return output


def _pictures(sources: Sources, folder: Path) -> Path:
    """Return a folder of the real punctures' images, their labels left behind."""
    output = folder / "punctures"
    for number, image in enumerate(read_labelled(sources.real)):
        path = output / f"puncture_{number:05d}.png"
        if not path.exists():
            with written_whole(path) as temporary:
                temporary.write_bytes(image.path.read_bytes())
    return output


def _cut_tips(sources: Sources, folder: Path) -> Path:
    """Return a folder of patches cut around the real punctures' tips."""
    output = folder / "real_tips"
    if not output.exists():
        write_patches(read_patches([sources.real]).images, output)
    return output


def _tested(weights: Path, settings: TrainSettings, test: Path, cache: Path) -> dict[str, Any]:
    """Return the figures on the test set, answers as sure as the weights' card asks for."""
    found = find_weights(str(weights))
    network, detector = load_detector(found, "cpu")
    images = load_set(test, settings.input_px, cache)
    frames = validate(network, [(images, range(len(images)))]).frames
    figures = frame_figures(frames, detector.threshold)
    return {**figures, "validation_ap": found.card["figures"]["validation"]["ap_01_05"]}


def _draw_losses(folder: Path) -> None:
    """Draw the loss of each of the mixed sets over the epochs."""
    rows = read_history(folder / HISTORY)
    names = [name for name in rows[-1] if name.startswith("loss_")]
    curves = [
        Curve(
            name.removeprefix("loss_"), [row["epoch"] for row in rows], [row[name] for row in rows]
        )
        for name in names
    ]
    with written_whole(folder / "losses.png") as temporary:
        cv2.imwrite(str(temporary), draw_curves("loss of each set", "epoch", curves))


def table_rows(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, one row a trial, its seeds together."""
    yield "| trial | seeds | AP0.1:0.5 | RMSE, px at 640 | miss rate | false answers |"
    yield "|---|---|---|---|---|---|"
    of_label: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        of_label.setdefault(result["label"], []).append(result["figures"])
    for label, figures in of_label.items():
        cells = [
            _mean_and_sd([one[name] for one in figures], digits)
            for name, digits in (
                ("ap_01_05", 3),
                ("rmse_px", 1),
                ("miss_rate", 3),
                ("false_answer_rate", 3),
            )
        ]
        yield f"| {label} | {len(figures)} | {' | '.join(cells)} |"


def _mean_and_sd(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.{digits}f}"
    return f"{mean} ± {np.std(known, ddof=1):.{digits}f}" if len(known) > 1 else mean
