"""What each part of TipDet is worth: YOLOT, + motion, + keyframes, + association, by kind of frame.

    python Testing/benchmarks/us_tipdet.py --sequences BENCH --output runs/tipdet

BENCH is a folder of sequences as `needles simulate us` makes them. All goes the way of `needles
track`: the imaging region is found, cut out and looked at, frame after frame. Average precision
counts the surest box of each frame whatever its confidence; everything else counts answers from the
threshold of the weights' card on. Frames with a tip are told apart by whether it is faint (contrast
below 3 standard deviations of its surroundings, as the simulator measures it) and whether it
moves (by 4 pixels of 640 or more within three frames).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.core.files import written_whole
from needle_backend.core.weights import (
    DEFAULT_TIPDET_WEIGHTS,
    DEFAULT_US_WEIGHTS,
    WeightsFile,
    find_weights,
)
from needle_backend.us.detect import TipDetector
from needle_backend.us.flow import MOTION_S
from needle_backend.us.frames import open_frames
from needle_backend.us.recording import find_tips
from needle_backend.us.sector import sector_of
from needle_backend.us.tipdet import VideoTipDetector
from needle_backend.us.tipdet_network import KeyframeAttention
from needle_backend.us.tips import TIPDET, YOLOT
from needle_backend.us.training.evaluate import SCALE_PX, ComparedFrame, frame_figures
from needle_backend.us.training.evaluate_files import compare, read_sequence_truth
from needle_backend.us.training.following import followed

FAINT_CONTRAST = 3.0
MOVING_PX = 4.0

Detector = TipDetector | VideoTipDetector


@dataclass(frozen=True)
class Arm:
    """One row of the table: a way to answer, of which model, and the card of its weights."""

    name: str
    model: str
    weights: WeightsFile
    make: Callable[[], Detector]


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = _arguments()
    kinds = np.concatenate([list(frame_kinds(path)) for path in truths(arguments.sequences)])
    report: dict[str, Any] = {"frames_of_kind": {}, "arms": {}}
    for kind in sorted(set(kinds)):
        report["frames_of_kind"][kind] = int((kinds == kind).sum())
    for arm in arms(arguments.yolot, arguments.weights):
        for name, figures in measured(arm, arguments.sequences, kinds):
            report["arms"][name] = figures
            print(name, json.dumps(figures), flush=True)
    with written_whole(arguments.output / "us_tipdet.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def arms(yolot: str | None, tipdet: str | None) -> list[Arm]:
    """Return what is compared."""
    frame_weights = find_weights(yolot, DEFAULT_US_WEIGHTS)
    stream_weights = find_weights(tipdet, DEFAULT_TIPDET_WEIGHTS)

    def without_keyframes() -> VideoTipDetector:
        detector = VideoTipDetector(tipdet, "cpu", 0.0)
        detector._network.attention = KeyframeAttention().eval()  # untrained, it changes nothing
        return detector

    return [
        Arm("YOLOT", YOLOT, frame_weights, lambda: TipDetector(yolot, "cpu", 0.0)),
        Arm("+ motion", TIPDET, stream_weights, without_keyframes),
        Arm("+ keyframes", TIPDET, stream_weights, lambda: VideoTipDetector(tipdet, "cpu", 0.0)),
    ]


def measured(arm: Arm, folder: Path, kinds: np.ndarray) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the figures of an arm by itself and with association."""
    threshold = float(arm.weights.card["threshold"])
    detector = arm.make()
    alone: list[ComparedFrame] = []
    joined: list[ComparedFrame] = []
    spent_s, processor_s = 0.0, 0.0
    for truth in truths(folder):
        source = open_frames(truth.parent / "frames", json.loads(truth.read_text())["fps"])
        sector = sector_of(source)
        frames = read_sequence_truth(truth)
        detector.reset()
        began_s, began_processor_s = time.perf_counter(), time.process_time()
        answers = [answer for _, answer in find_tips(source, sector, detector)]
        spent_s += time.perf_counter() - began_s
        processor_s += time.process_time() - began_processor_s
        alone += compare(frames, answers)
        joined += compare(frames, followed(answers, source.size, threshold, arm.model))
    speed = {
        "ms_a_frame": round(1000 * spent_s / len(alone), 1),
        "processor_ms_a_frame": round(1000 * processor_s / len(alone), 1),
    }
    yield arm.name, {**figures_by_kind(alone, kinds, threshold), **speed, "threshold": threshold}
    yield f"{arm.name}, associated", figures_by_kind(joined, kinds, 0.0)


def figures_by_kind(
    frames: list[ComparedFrame], kinds: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Return the figures over all frames, and shares of right answers by kind of frame."""
    figures = frame_figures(frames, threshold)
    kept = ("ap_01_05", "rmse_px", "median_px", "miss_rate", "false_answer_rate")
    shown = {name: figures[name] for name in kept}
    shown["within_20_px"] = figures["within_px"]["20"]
    shown["ap"] = figures["ap"]
    for kind in sorted(set(kinds) - {"none", "hidden"}):
        of_kind = [frame for frame, its in zip(frames, kinds, strict=True) if its == kind]
        shown[f"within_20_px, {kind}"] = frame_figures(of_kind, threshold)["within_px"]["20"]
    return shown


def frame_kinds(truth: Path) -> Iterator[str]:
    """Yield of every frame that is compared whether its tip is seen, how well, and if it moves."""
    content = json.loads(truth.read_text(encoding="utf-8"))
    apart = max(1, round(MOTION_S * content["fps"]))
    scale = SCALE_PX / max(content["size"])
    places = [frame["tip"] or frame["hidden_tip"] for frame in content["frames"]]
    for number, frame in enumerate(content["frames"]):
        if frame.get("doubtful"):
            continue
        if not frame["visible"]:
            yield "none" if places[number] is None else "hidden"
            continue
        before = places[max(0, number - apart)]
        way = np.inf if before is None else np.hypot(*np.subtract(places[number], before))
        seen = "faint" if frame["contrast"] < FAINT_CONTRAST else "plain"
        yield f"{seen}, {'moving' if scale * way >= MOVING_PX else 'still'}"


def truths(folder: Path) -> list[Path]:
    """Return the truths of a folder's sequences."""
    return sorted(folder.glob("*/truth.json"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What each part of TipDet is worth.")
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--yolot", default=None, help="YOLOT's weights; the default ones else")
    parser.add_argument("--weights", default=None, help="TipDet's weights; the default ones else")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
