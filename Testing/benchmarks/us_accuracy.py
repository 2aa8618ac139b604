"""Accuracy of the tip detector: simulated sequences, needle-free images, labelled real frames.

    python Testing/benchmarks/us_accuracy.py --sequences BENCH --needle-free IMAGES \
        --labels LABELS.json --output runs/us

BENCH is a folder of sequences as `needles simulate us` makes them; IMAGES a folder of images
without a needle, of any sizes; LABELS.json a list of {"file", "index", "width", "height",
"visible", "ignore", "tip_xy", "uncertainty_px"} with the files beside it. All goes the way of
`needles track`: the imaging region is found, cut out and looked at, frame by frame. Answers count
from the threshold of the weights' card on; average precision counts the surest box of each frame
whatever its confidence.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.core.files import written_whole
from needle_backend.us.detect import TipDetector
from needle_backend.us.frames import open_frames
from needle_backend.us.recording import find_tips
from needle_backend.us.sector import find_sector, sector_of
from needle_backend.us.tips import YOLOT, FrameAnswer
from needle_backend.us.training.evaluate import (
    SCALE_PX,
    ComparedFrame,
    answer_error_px,
    evaluate,
)
from needle_backend.us.training.evaluate_files import compare, read_sequence_truth
from needle_backend.us.training.following import followed
from needle_backend.us.training.patches import read_grey

NEAR_PX = 20.0
RECALL = 0.7
"""Besides the threshold's, needle-free images are judged where so many tips are found."""


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = _arguments()
    detector = TipDetector(arguments.weights, arguments.device)
    threshold = detector.threshold if arguments.threshold is None else arguments.threshold
    detector.threshold = 0.0
    report: dict[str, Any] = {"weights": detector.weights_name, "threshold": threshold}
    if arguments.sequences:
        report["sequences"] = on_sequences(detector, arguments.sequences, threshold)
    if arguments.needle_free:
        at_recall = report.get("sequences", {}).get("threshold_at_recall")
        report["needle_free"] = on_needle_free(
            detector, arguments.needle_free, threshold, at_recall
        )
    if arguments.labels:
        report["labelled"] = on_labelled(detector, arguments.labels, threshold)
    with written_whole(arguments.output / "us_accuracy.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def on_sequences(detector: TipDetector, folder: Path, threshold: float) -> dict[str, Any]:
    """Return :func:`evaluate`'s figures over all sequences, each frame by itself and associated."""
    single, associated = {}, {}
    for truth in sorted(folder.glob("*/truth.json")):
        source = open_frames(truth.parent / "frames", json.loads(truth.read_text())["fps"])
        answers = [answer for _, answer in find_tips(source, sector_of(source), detector)]
        frames = read_sequence_truth(truth)
        single[truth.parent.name] = compare(frames, answers)
        associated[truth.parent.name] = compare(
            frames, followed(answers, source.size, threshold, YOLOT)
        )
    return {
        "single": evaluate(single, threshold),
        "associated": evaluate(associated),
        "threshold_at_recall": threshold_at_recall([f for one in single.values() for f in one]),
    }


def threshold_at_recall(frames: Sequence[ComparedFrame]) -> float | None:
    """Return from which confidence on answers hit :data:`RECALL` of the tips, if ever."""
    with_tip = [frame for frame in frames if len(frame.true_boxes)]
    hits = [
        frame.scores.max()
        for frame in with_tip
        if len(frame.scores) and answer_error_px(frame) <= NEAR_PX
    ]
    wanted = math.ceil(RECALL * len(with_tip))
    return float(sorted(hits, reverse=True)[wanted - 1]) if len(hits) >= wanted else None


def on_needle_free(
    detector: TipDetector, folder: Path, threshold: float, at_recall: float | None
) -> dict[str, Any]:
    """Return answers an image, over all and by the beginning of the images' names."""
    confidence = defaultdict(list)
    for path in sorted(folder.glob("*.png")):
        image = read_grey(path)
        tip = detector.detect(find_sector(image).crop(image))
        confidence[path.name.split("_")[0]].append(tip.confidence)
    every = np.concatenate(list(confidence.values()))
    return {
        "images": len(every),
        "detections_an_image": float(np.mean(every >= threshold)),
        "detections_at_recall": at_recall and float(np.mean(every >= at_recall)),
        "by_group": {
            name: {"images": len(values), "rate": float(np.mean(np.array(values) >= threshold))}
            for name, values in confidence.items()
        },
    }


@dataclass(frozen=True)
class LabelledFrame:
    """One label and what was answered there."""

    label: dict[str, Any]
    answer: FrameAnswer

    @property
    def error_px(self) -> float:
        """Distance in pixels of the frame scaled to 640 on its longer side."""
        away = np.subtract((self.answer.tip.x, self.answer.tip.y), self.label["tip_xy"])
        return float(np.hypot(*away)) * self.scale

    @property
    def scale(self) -> float:
        """Pixels at 640 a pixel of the frame."""
        return SCALE_PX / max(self.label["width"], self.label["height"])

    @property
    def uncertainty_px(self) -> float:
        """How far the label itself may be off, at 640."""
        return (self.label["uncertainty_px"] or 0.0) * self.scale


def on_labelled(detector: TipDetector, labels: Path, threshold: float) -> dict[str, Any]:
    """Return hits among labelled real frames, by the folder their file lies in."""
    by_file = defaultdict(list)
    for label in json.loads(labels.read_text(encoding="utf-8")):
        if label["visible"] and not label["ignore"]:
            by_file[label["file"]].append(label)
    frames = defaultdict(list)
    for file, of_file in by_file.items():
        path = labels.parent / file
        source = open_frames(path, None)
        answers = [answer for _, answer in find_tips(source, sector_of(source), detector)]
        for label in of_file:
            # A single image is the only frame of its file, whatever its number in the folder.
            number = label["index"] if len(answers) > 1 else 0
            frames[file.split("/")[0]].append(LabelledFrame(label, answers[number]))
    return {name: _hits(of_source, threshold) for name, of_source in frames.items()}


def _hits(frames: list[LabelledFrame], threshold: float) -> dict[str, Any]:
    sure = [frame for frame in frames if frame.answer.tip.confidence >= threshold]
    return {
        "frames": len(frames),
        "answered": len(sure),
        "within_uncertainty": sum(frame.error_px <= frame.uncertainty_px for frame in sure),
        f"within_{NEAR_PX:g}_px": sum(frame.error_px <= NEAR_PX for frame in sure),
        "best_box_within_20_px_whatever_its_confidence": sum(
            frame.error_px <= NEAR_PX for frame in frames
        ),
        "median_error_px": float(np.median([frame.error_px for frame in sure])) if sure else None,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Accuracy of the tip detector.")
    parser.add_argument("--sequences", type=Path, help="folder of sequences with truth.json")
    parser.add_argument("--needle-free", type=Path, help="folder of images without a needle")
    parser.add_argument("--labels", type=Path, help="labels.json of real frames")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--threshold", type=float, default=None, help="the card's else")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
