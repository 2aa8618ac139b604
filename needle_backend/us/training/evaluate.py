"""Compare tips found in frames with the truth: frames, sequences, files.

Two questions are kept apart. How good the boxes are, however sure they were: average precision (AP)
at IoU 0.1 to 0.5, 101-point as COCO's own tool computes it, and their mean AP0.1:0.5. And how good
the answer is that a clinician sees, the surest box of a frame: the root mean square error of its
centre over every frame with a tip that was answered, never without the share of frames with a tip
that were not (miss rate), and the answers given where no tip is seen. Distances are in pixels of
the frame scaled to 640 on its longer side, as the network sees it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

import numpy as np

IOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
GATES_PX = (5.0, 10.0, 20.0, 40.0)
SCALE_PX = 640
MOST_BOXES = 100


@dataclass(frozen=True)
class ComparedFrame:
    """One frame with its true and its found boxes.

    Attributes
    ----------
    size
        Columns and rows.
    true_boxes
        (n, 4): x0, y0, width, height in pixels; n = 0 where no tip is seen.
    found_boxes
        (m, 4), likewise; every box that counts for AP.
    scores
        (m,) how sure each is. The surest box is the frame's answer when it reaches the threshold
        of :func:`evaluate`.
    """

    size: tuple[int, int]
    true_boxes: np.ndarray
    found_boxes: np.ndarray
    scores: np.ndarray


def evaluate(sequences: Mapping[str, Sequence[ComparedFrame]], threshold: float = 0.0) -> dict:
    """Compare sequences of frames, each by itself and all together.

    Parameters
    ----------
    sequences
        Frames of each, by its name.
    threshold
        A box answers when its score is at least this.

    Returns
    -------
    dict
        The figures over all frames (see :func:`frame_figures`), and ``per_sequence``.
    """
    every = [frame for frames in sequences.values() for frame in frames]
    return {
        "threshold": threshold,
        "scale_px": SCALE_PX,
        **frame_figures(every, threshold),
        "per_sequence": {
            name: frame_figures(frames, threshold) for name, frames in sequences.items()
        },
    }


def frame_figures(frames: Sequence[ComparedFrame], threshold: float = 0.0) -> dict:
    """Return the figures over some frames; None where there is nothing to divide by.

    Returns
    -------
    dict
        ``ap`` (by IoU) and ``ap_01_05``; ``rmse_px``, ``median_px`` and ``within_px`` (the share of
        frames with a tip whose answer lies within each gate); ``miss_rate``;
        ``false_answer_rate`` (of the frames without a tip); ``counts``.
    """
    precision = average_precision(frames)
    errors = [answer_error_px(frame, threshold) for frame in frames if len(frame.true_boxes)]
    answered = np.array([error for error in errors if error is not None], float)
    false = sum(
        _answer(frame, threshold) is not None for frame in frames if not len(frame.true_boxes)
    )
    with_tip, without_tip = len(errors), len(frames) - len(errors)
    return {
        "ap": precision,
        "ap_01_05": None if precision is None else float(np.mean(list(precision.values()))),
        "rmse_px": float(np.sqrt(np.mean(answered**2))) if len(answered) else None,
        "median_px": float(np.median(answered)) if len(answered) else None,
        "within_px": {
            f"{gate:g}": _share(int((answered <= gate).sum()), with_tip) for gate in GATES_PX
        },
        "miss_rate": _share(with_tip - len(answered), with_tip),
        "false_answer_rate": _share(false, without_tip),
        "counts": {
            "frames": len(frames),
            "with_tip": with_tip,
            "answered": len(answered),
            "without_tip": without_tip,
            "false_answers": false,
        },
    }


def average_precision(frames: Sequence[ComparedFrame]) -> dict[str, float] | None:
    """Return AP at each IoU of :data:`IOU_THRESHOLDS`; None when no frame has a true box.

    COCO's evaluation (pycocotools) with thresholds of its own: precision at 101 recalls, boxes of
    all sizes, at most :data:`MOST_BOXES` a frame.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    true = _coco_rows([frame.true_boxes for frame in frames])
    if not true:
        return None
    found = _coco_rows([frame.found_boxes for frame in frames], [frame.scores for frame in frames])
    # Its loader refuses an empty list of results, and both print as they work.
    with redirect_stdout(io.StringIO()):
        sides = [COCO(), COCO()]
        for side, rows in zip(sides, (true, found), strict=True):
            side.dataset = {
                "images": [{"id": number} for number in range(1, len(frames) + 1)],
                "categories": [{"id": 1}],
                "annotations": rows,
            }
            side.createIndex()
        comparison = COCOeval(*sides, iouType="bbox")
        comparison.params.iouThrs = np.array(IOU_THRESHOLDS)
        comparison.params.maxDets = [MOST_BOXES]
        comparison.params.areaRng = comparison.params.areaRng[:1]
        comparison.params.areaRngLbl = comparison.params.areaRngLbl[:1]
        comparison.evaluate()
        comparison.accumulate()
    at_recalls = comparison.eval["precision"][:, :, 0, 0, 0]
    return {
        f"{iou:g}": float(row.mean()) for iou, row in zip(IOU_THRESHOLDS, at_recalls, strict=True)
    }


def answer_error_px(frame: ComparedFrame, threshold: float = 0.0) -> float | None:
    """Return how far a frame's answer lies from its nearest true tip; None without an answer."""
    box = _answer(frame, threshold)
    if box is None:
        return None
    apart = np.linalg.norm(_centres(frame.true_boxes) - _centres(box), axis=1)
    return float(apart.min()) * SCALE_PX / max(frame.size)


def _answer(frame: ComparedFrame, threshold: float) -> np.ndarray | None:
    """Return the surest box (1, 4), None when none is sure enough."""
    if len(frame.scores) == 0 or frame.scores.max() < threshold:
        return None
    return frame.found_boxes[[int(frame.scores.argmax())]]


def _centres(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + boxes[:, 2:] / 2


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _coco_rows(
    boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray] | None = None
) -> list[dict]:
    """Return boxes as COCO's annotations; ids start at 1, since its matching takes 0 for none."""
    rows: list[dict] = []
    for number, in_frame in enumerate(boxes):
        for index, (x0, y0, width, height) in enumerate(in_frame.tolist()):
            row = {
                "id": len(rows) + 1,
                "image_id": number + 1,
                "category_id": 1,
                "bbox": [x0, y0, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
            if scores is not None:
                row["score"] = float(scores[number][index])
            rows.append(row)
    return rows
