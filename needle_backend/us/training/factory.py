"""Make folders of simulated sequences: in parallel, restartable, the same bytes from a seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.runner import Runner, run_here
from needle_backend.us.training.backgrounds import read_background
from needle_backend.us.training.settings import SimulationSettings
from needle_backend.us.training.simulate import SimulatedSequence, simulate_sequence
from needle_backend.us.training.truth import truth_row


@dataclass(frozen=True)
class SequenceOrder:
    """What to simulate: sequences 0 .. ``sequences - 1`` of one seed."""

    settings: SimulationSettings
    seed: int
    sequences: int
    output: Path
    backgrounds: tuple[Path, ...] = ()


def simulate_sequences(order: SequenceOrder, runner: Runner = run_here) -> Iterator[Path]:
    """Write sequence folders and yield each as it is ready; folders already there are kept.

    Raises
    ------
    InputError
        When the output folder cannot be made, or a background cannot be read.
    """
    try:
        order.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{order.output} cannot be made ({error.strerror}).") from error
    for outcome in runner(partial(make_sequence, order), range(order.sequences)):
        yield outcome.value()


def make_sequence(order: SequenceOrder, number: int) -> Path:
    """Simulate and write one sequence unless it is already there."""
    folder = order.output / f"sequence_{number:03d}"
    if (folder / "truth.json").exists():
        return folder
    seed = int(np.random.SeedSequence([order.seed, number]).generate_state(1)[0])
    background, name = None, "procedural"
    if order.backgrounds:
        chosen = np.random.default_rng([seed, 1]).integers(len(order.backgrounds))
        background = read_background(order.backgrounds[chosen])
        name = order.backgrounds[chosen].name
    sequence = simulate_sequence(order.settings, seed, background)
    unfinished = order.output / f".{folder.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    write_sequence(sequence, name, unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def write_sequence(sequence: SimulatedSequence, background: str, folder: Path) -> None:
    """Write ``frames/frame_0000.png`` and so on, and ``truth.json``, into a new folder."""
    (folder / "frames").mkdir(parents=True)
    for index, frame in enumerate(sequence.frames):
        cv2.imwrite(str(folder / "frames" / f"frame_{index:04d}.png"), frame)
    rows, columns = sequence.frames.shape[1:]
    truth = {
        "fps": sequence.fps,
        "seed": sequence.facts["seed"],
        "size": [columns, rows],
        "simulated": {**sequence.facts, "background": background},
        "frames": [truth_row(frame) for frame in sequence.truth],
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


_TILE_PX = (426, 320)
_SHEET_FRAMES = 4


def contact_sheet(folders: Sequence[Path], path: Path) -> None:
    """Draw one row a sequence: frames spread over it, the truth over the last of them."""
    cv2.imwrite(str(path), np.concatenate([_sheet_row(folder) for folder in folders]))


def _sheet_row(folder: Path) -> np.ndarray:
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    count = len(truth["frames"])
    chosen = np.linspace(0, count - 1, _SHEET_FRAMES).astype(int)
    tiles = [_tile(folder, int(index)) for index in chosen]
    marked = _tile(folder, int(chosen[-1]))
    scale = _TILE_PX[0] / truth["size"][0]
    last = truth["frames"][int(chosen[-1])]
    if last["box"] is not None:
        x, y, width, height = (round(v * scale) for v in last["box"])
        cv2.rectangle(marked, (x, y), (x + width, y + height), (90, 255, 90), 1)
    elif last["hidden_tip"] is not None:
        point = tuple(round(v * scale) for v in last["hidden_tip"])
        cv2.circle(marked, point, 5, (60, 60, 255), 1, cv2.LINE_AA)
    row = np.concatenate([*tiles, marked], axis=1)
    shown = sum(frame["visible"] for frame in truth["frames"])
    text = f"{folder.name}  tip visible in {shown} of {count}  {truth['simulated']['background']}"
    cv2.putText(row, text, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (90, 255, 90), 1, cv2.LINE_AA)
    return row


def _tile(folder: Path, index: int) -> np.ndarray:
    grey = cv2.imread(str(folder / "frames" / f"frame_{index:04d}.png"), cv2.IMREAD_GRAYSCALE)
    return cv2.cvtColor(
        cv2.resize(grey, _TILE_PX, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR
    )
