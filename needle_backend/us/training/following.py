"""What tips are worth once they are followed, and from which confidence on to believe them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from needle_backend.us.frames import open_frames
from needle_backend.us.recording import find_tips
from needle_backend.us.sector import sector_of
from needle_backend.us.tipdet import VideoTipDetector
from needle_backend.us.tips import TIPDET, FrameAnswer
from needle_backend.us.track import ASSOCIATION_OF, FAINT_SHARE, Tracker
from needle_backend.us.training.evaluate import frame_figures
from needle_backend.us.training.evaluate_files import TRUTH, TrueFrame, compare, read_sequence_truth

FALSE_SHARE = 0.1
"""In so many of the frames without a visible tip one may be shown."""

DRAWS, SURE = 2000, 0.9
"""Sequences are drawn so often with replacement; in this share of the draws it must hold."""

_THRESHOLDS = np.arange(2, 99) / 100


@dataclass(frozen=True)
class LookedAt:
    """A sequence, and the surest box of each of its frames whatever its confidence.

    Attributes
    ----------
    frames, answers
        The truth of each frame, and what was answered.
    size
        Columns and rows.
    """

    frames: list[TrueFrame]
    answers: list[FrameAnswer]
    size: tuple[int, int]


def look_at(detector: VideoTipDetector, folders: Sequence[Path]) -> Iterator[LookedAt]:
    """Show simulated sequences to a detector whose threshold is 0, the way of `needles track`.

    Raises
    ------
    InputError
        When a sequence cannot be read.
    """
    for truth in sorted(path for folder in folders for path in folder.glob(f"*/{TRUTH}")):
        frames = read_sequence_truth(truth)
        source = open_frames(truth.parent / "frames", json.loads(truth.read_text())["fps"])
        detector.reset()
        answers = [answer for _, answer in find_tips(source, sector_of(source), detector)]
        yield LookedAt(frames, answers, source.size)


def followed(
    answers: Sequence[FrameAnswer], size: tuple[int, int], threshold: float, model: str
) -> list[FrameAnswer]:
    """Join the sure answers of a model's single frames as `needles track` does."""
    tracker = Tracker(size, threshold, ASSOCIATION_OF[model])
    least = FAINT_SHARE * threshold
    return [
        tracker.follow(
            answer.frame, answer.time_s, answer.tip if answer.tip.confidence >= least else None
        )
        for answer in answers
    ]


def threshold_when_followed(sequences: Sequence[LookedAt]) -> tuple[float, dict[str, Any]]:
    """Choose the confidence from which on TipDet is believed where tips are followed.

    The least at which, followed, at most :data:`FALSE_SHARE` of the frames without a visible tip
    show one, and would in nine of ten sets of as many such sequences: false tips come in whole
    sequences, so that one set says little. The highest that was tried where none is low enough.

    Returns
    -------
    tuple
        The threshold, and :func:`.evaluate.frame_figures` of all frames there, followed.
    """
    for threshold in map(float, _THRESHOLDS):
        shown = [(one, followed(one.answers, one.size, threshold, TIPDET)) for one in sequences]
        if _share_in_most_sets([_false_tips(*one) for one in shown]) <= FALSE_SHARE:
            break
    return threshold, frame_figures(
        [frame for one, answers in shown for frame in compare(one.frames, answers)]
    )


def _false_tips(one: LookedAt, answers: Sequence[FrameAnswer]) -> tuple[int, int]:
    """Return in how many frames without a visible tip one is shown, and how many there are."""
    false = [
        answer.tip is not None
        for frame, answer in zip(one.frames, answers, strict=True)
        if not len(frame.boxes) and not frame.doubtful
    ]
    return sum(false), len(false)


def _share_in_most_sets(false_tips: Sequence[tuple[int, int]]) -> float:
    """Return the share of false tips that :data:`SURE` of the sets drawn stay below."""
    counts = np.array(false_tips)
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    false, frames = counts[drawn].sum(axis=1).T
    return float(np.quantile(false / np.maximum(frames, 1), SURE))
