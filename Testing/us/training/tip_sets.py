"""Small labelled sets with tips that are easy to tell from speckle."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np


def speckle(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Grey, blotchy, without structure; uint8."""
    waves = rng.normal(size=(2, rows, columns)).astype(np.float32)
    smooth = [cv2.GaussianBlur(wave, (0, 0), 2.0, sigmaY=1.2) for wave in waves]
    return np.clip(250 * np.hypot(*smooth), 0, 255).astype(np.uint8)


def frame_with_tip(rng: np.random.Generator, rows: int = 120, columns: int = 160):
    """Speckle and a bright line that ends at the middle of the box x0, y0, width, height."""
    frame = speckle(rng, rows, columns)
    tip = np.array([rng.uniform(50, columns - 50), rng.uniform(40, rows - 40)])
    start = tip - 200 * np.array([1.0, 0.4])
    cv2.line(frame, tuple(map(int, start)), tuple(map(int, tip)), 255, 3, cv2.LINE_AA)
    return frame, [tip[0] - 18, tip[1] - 10, 36.0, 20.0]


def write_sequences(folder: Path, sequences: int, frames: int, seed: int = 0) -> Path:
    """Write simulated sequences whose every second frame shows the tip."""
    rng = np.random.default_rng(seed)
    for number in range(sequences):
        sequence = folder / f"sequence_{number:03d}"
        (sequence / "frames").mkdir(parents=True)
        rows = []
        for index in range(frames):
            frame, box = frame_with_tip(rng)
            cv2.imwrite(str(sequence / "frames" / f"frame_{index:04d}.png"), frame)
            shown = index % 2 == 0
            rows.append({"visible": shown, "tip": None, "box": box if shown else None})
        (sequence / "truth.json").write_text(
            json.dumps({"fps": 20, "size": [160, 120], "frames": rows})
        )
    return folder
