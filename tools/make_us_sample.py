"""Make the sample recording of a puncture: ``python tools/make_us_sample.py``.

A simulated puncture in procedural tissue, halved in size and in fewer greys so that it is small
enough to ship, written by Slicer's own library as the sequence that it reads. It is a pure function
of the simulator: a later one makes another puncture.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT)]

from slicer_harness.boot import boot  # noqa: E402

slicer = boot()

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from needle_backend.us.training.settings import SimulationSettings  # noqa: E402
from needle_backend.us.training.simulate import SimulatedSequence, simulate_sequence  # noqa: E402

SAMPLE = ROOT / "Resources" / "Sample" / "sample_us.seq.nrrd"
TRUTH = SAMPLE.with_name("truth_us.json")
SEED, FRAMES, FPS = 9, 48, 12.0
SMALLER = 2
GREYS_APART = 4


def main() -> None:
    settings = SimulationSettings()
    sequence = replace(settings.sequence, frames=FRAMES, fps=FPS, needle_free_share=0.0)
    puncture = simulate_sequence(replace(settings, sequence=sequence), SEED)
    columns, rows = np.array(puncture.frames.shape[:0:-1]) // SMALLER
    frames = [
        cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
        for frame in puncture.frames
    ]
    write_sequence(np.stack(frames), SMALLER / puncture.facts["px_per_mm"])
    TRUTH.write_text(json.dumps(truth_of(puncture, (int(columns), int(rows)))) + "\n")


def write_sequence(frames: np.ndarray, mm_per_px: float) -> None:
    """Write frames as images that stand upright in an axial view."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "sample")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetIndexTypeFromString("numeric")
    for number, frame in enumerate(frames // GREYS_APART * GREYS_APART):
        image = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(image, frame[None])
        image.SetIJKToRASMatrix(
            slicer.util.vtkMatrixFromArray(np.diag([-mm_per_px, -mm_per_px, mm_per_px, 1.0]))
        )
        sequence.SetDataNodeAtValue(image, f"{number / FPS:.4f}")
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(SAMPLE))
    if not storage.WriteData(sequence):
        sys.exit(f"{SAMPLE} could not be written.")


def truth_of(puncture: SimulatedSequence, size: tuple[int, int]) -> dict[str, object]:
    """Return the truth in the form of ``needles simulate us``, in the smaller pictures' pixels."""
    middle = (SMALLER - 1) / 2  # a pixel's centre is that of the pixels it was made of
    frames = []
    for frame in puncture.truth:
        tip = box = None
        if frame.visible:
            tip = [round((value - middle) / SMALLER, 2) for value in frame.tip_xy]
            corner = [round((value - middle) / SMALLER, 2) for value in frame.box[:2]]
            box = [*corner, *(round(value / SMALLER, 2) for value in frame.box[2:])]
        frames.append({"visible": frame.visible, "tip": tip, "box": box})
    return {"fps": FPS, "seed": SEED, "size": list(size), "frames": frames}


if __name__ == "__main__":
    main()
