"""Train TipDet in three stages: YOLOT, two streams, keyframe attention (Wang et al. 2024).

The first stage is :mod:`.train`; its weights are where this one starts. Each later stage leaves
what was learnt before it as it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2

from needle_backend import __version__
from needle_backend.core.errors import InputError
from needle_backend.core.weights import (
    DEFAULT_TIPDET_WEIGHTS,
    DEFAULT_US_WEIGHTS,
    find_weights,
    hardware,
    write_weights,
)
from needle_backend.us.preprocess import MEAN, STANDARD_DEVIATION
from needle_backend.us.tipdet import VideoTipDetector
from needle_backend.us.tipdet_network import TipDet
from needle_backend.us.training.dataset import AugmentSettings
from needle_backend.us.training.export import STATEMENT
from needle_backend.us.training.following import look_at, threshold_when_followed
from needle_backend.us.training.motion_set import MotionSet, load_motion_set
from needle_backend.us.training.train import ScheduleSettings
from needle_backend.us.training.train_rescoring import RescoringSettings, train_rescoring
from needle_backend.us.training.train_two_stream import MotionPart, train_two_stream
from needle_backend.us.weights import DetectorSettings, load_detector, load_tipdet

_FIGURES = ("rmse_px", "median_px", "miss_rate", "within_px", "false_answer_rate")


@dataclass(frozen=True)
class TipDetSettings:
    """A recipe: ``augment`` and ``schedule`` of the two streams, ``rescoring`` of the attention.

    The side of the square that the network sees is that of the YOLOT it starts from.
    """

    augment: AugmentSettings = field(default_factory=AugmentSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    rescoring: RescoringSettings = field(default_factory=RescoringSettings)


def train_tipdet(
    settings: TipDetSettings,
    data: Sequence[Path],
    validation: Sequence[Path],
    output: Path,
    initial: str | None = None,
    max_hours: float | None = None,
    earlier: str | None = None,
) -> Path:
    """Train and export; run again with the same ``output`` to go on after a stop.

    Parameters
    ----------
    data
        Folders of sequences; the last ones of each are for the attention only.
    validation
        Folders of other sequences at the rate of a stream, to stop and to choose the threshold by:
        that of :func:`.threshold_when_followed`.
    output
        Folder for checkpoints, histories and the weights.
    initial
        YOLOT's weights by name or path; None takes the default ones.
    max_hours
        Of the two streams' training.
    earlier
        A TipDet by name or path, to go on from: all but the YOLOT inside begins as it is there.

    Returns
    -------
    Path
        The exported weights.

    Raises
    ------
    InputError
        When a set or the weights cannot be used.
    """
    cv2.setNumThreads(0)
    started = time.monotonic()
    found = find_weights(initial, DEFAULT_US_WEIGHTS)
    yolot, detector = load_detector(found, "cpu")
    before = load_tipdet(find_weights(earlier), "cpu")[0] if earlier else None
    sets = [load_motion_set(folder, detector.input_px, output / "cache") for folder in data]
    fit, late = _halves(sets, settings.rescoring.sequence_share)
    held = [
        (images, range(len(images.sequences)))
        for images in (
            load_motion_set(folder, detector.input_px, output / "cache") for folder in validation
        )
    ]
    streams, of_streams = train_two_stream(
        settings.schedule,
        settings.augment,
        yolot.state_dict(),
        fit,
        held,
        output / "two_stream",
        max_hours,
        before.streams if before else None,
    )
    # An attention that was begun on other streams is not gone on with.
    rescoring = output / f"rescoring_after_{of_streams['steps']}_steps"
    attention, of_attention = train_rescoring(
        settings.rescoring, streams, late, held, rescoring, before.attention if before else None
    )
    network = TipDet().eval()
    network.streams.load_state_dict(streams.state_dict())
    network.attention.load_state_dict(attention.state_dict())
    facts = {
        "start": found.name,
        "gone_on_from": earlier and find_weights(earlier).card.get("sha256"),
        "data": {images.images.name: len(images.sequences) for images in sets},
        "validation": {images.images.name: len(used) for images, used in held},
        "two_streams": of_streams,
        "attention": of_attention,
        "hours_this_run": round((time.monotonic() - started) / 3600, 2),
        **asdict(settings),
    }
    weights = _export(network, detector, validation, facts, output)
    for views in rescoring.glob("*.npy"):
        views.unlink()
    return weights


def _halves(
    sets: Sequence[MotionSet], late_share: float
) -> tuple[list[MotionPart], list[MotionPart]]:
    """Return the sequences that the streams learn from, and those that the attention does."""
    early, late = [], []
    for images in sets:
        count = len(images.sequences)
        first_late = count - max(1, round(late_share * count))
        if first_late < 1:
            raise InputError(
                f"{images.images.name} has {count} sequence(s); give folders of two or more."
            )
        early.append((images, range(first_late)))
        late.append((images, range(first_late, count)))
    return early, late


def _export(
    network: TipDet,
    detector: DetectorSettings,
    validation: Sequence[Path],
    facts: dict[str, Any],
    folder: Path,
) -> Path:
    """Write ``us_tipdet.safetensors`` and its card; return the former's path."""
    card = {
        "task": "us tip detection in streams",
        "version": __version__,
        "architecture": {
            "network": "TipDet (YOLOT, a stream of motion, attention over keyframes)",
            "parameters": sum(value.numel() for value in network.parameters()),
        },
        "input": {"size_px": detector.input_px, "mean": MEAN, "sd": STANDARD_DEVIATION},
        "threshold": 0.0,
        "yolot_threshold": detector.threshold,
        "statement": STATEMENT,
        "training": {**facts, "hardware": hardware()},
    }
    name = f"{DEFAULT_TIPDET_WEIGHTS}.safetensors"
    with TemporaryDirectory() as untried:
        path = write_weights(Path(untried) / name, network.state_dict(), card)
        looked_at = list(look_at(VideoTipDetector(str(path), threshold=0.0), validation))
    card["threshold"], followed = threshold_when_followed(looked_at)
    card["figures"] = {
        "validation": {
            "ap_01_05": facts["attention"]["validation_ap_01_05"],
            "followed": {figure: followed[figure] for figure in _FIGURES},
        }
    }
    return write_weights(folder / name, network.state_dict(), card)
