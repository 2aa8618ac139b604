"""Training crops from folders of cases: cached arrays, label-centred crops, augmentation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.ends import HANDLE, TIP
from needle_backend.ct.network import HEATMAP_STRIDE
from needle_backend.ct.preprocess import InputSettings, neighbour_stack, network_input
from needle_backend.ct.training.labels import SliceEnd
from needle_backend.ct.training.splits import patients_of
from needle_backend.ct.training.truth_labels import read_slice_ends


@dataclass(frozen=True)
class Case:
    """One case ready for training: whose it is, its cached voxels and its labels."""

    name: str
    patient: str
    array_path: Path
    pixel_mm: float
    labels: tuple[SliceEnd, ...]

    def array(self) -> np.ndarray:
        """Return the voxels [slice, row, column], mapped from disk."""
        return np.load(self.array_path, mmap_mode="r")


def load_cases(folders: Sequence[Path], cache: Path) -> list[Case]:
    """Find ``ct.nii.gz`` with ``truth.json`` and cache the voxels as plain arrays.

    Parameters
    ----------
    folders
        Folders of cases, or cases themselves.
    cache
        Where the arrays go.

    Raises
    ------
    InputError
        When a folder holds no case.
    """
    cache.mkdir(parents=True, exist_ok=True)
    patients = patients_of(find_cases(folders))
    return [_cached(case, patient, cache) for case, patient in patients.items()]


def find_cases(folders: Sequence[Path]) -> list[Path]:
    """Return the cases in folders of cases; a case itself may be given too.

    Raises
    ------
    InputError
        When a folder holds no case.
    """
    cases = []
    for folder in folders:
        itself = [folder] if (folder / "truth.json").exists() else []
        found = itself or sorted(path.parent for path in folder.glob("*/truth.json"))
        if not found:
            raise InputError(f"{folder} holds no cases (case_000/ct.nii.gz with truth.json).")
        cases += found
    return cases


def _cached(folder: Path, patient: str, cache: Path) -> Case:
    ct = folder / "ct.nii.gz"
    key = _key(ct)
    array_path, pixel_path = cache / f"{key}.npy", cache / f"{key}.pixel"
    if not pixel_path.exists():
        volume = read_volume(ct)
        np.save(array_path, volume.array.astype(np.int16))
        pixel_path.write_text(str(volume.spacing_mm[0]))
    labels = read_slice_ends(folder / "truth.json")
    name = f"{folder.parent.name}_{folder.name}"
    return Case(name, patient, array_path, float(pixel_path.read_text()), labels)


def _key(ct: Path) -> str:
    """Name a CT's cached voxels: many folders are called alike, and a CT may be made anew."""
    path = ct.resolve()
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return hashlib.sha256(f"{path} {changed}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CropSettings:
    """How crops are drawn and what their targets look like.

    ``label_centred_share`` of the crops lie near a label, ``tip_share`` of those near a tip. All
    are turned by up to ``turn_deg``, and ``quarter_turn_share`` of them by 90 degrees more:
    patients lie on their sides, too.
    """

    size_px: int = 256
    label_centred_share: float = 0.8
    tip_share: float = 0.5
    scale: tuple[float, float] = (0.6, 1.3)
    turn_deg: float = 20.0
    quarter_turn_share: float = 0.0
    tip_radius_mm: float = 4.0
    handle_radius_mm: float = 4.0
    extra_noise_hu: float = 12.0


class CropDataset:
    """Random crops; item ``i`` of epoch ``e`` depends on (seed, e, i) only."""

    def __init__(
        self,
        cases: Sequence[Case],
        crops: CropSettings,
        inputs: InputSettings,
        length: int,
        seed: int,
    ) -> None:
        self._cases = list(cases)
        self._crops = crops
        self._inputs = inputs
        self._length = length
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self._seed, self.epoch, index])
        case = self._cases[int(rng.integers(len(self._cases)))]
        k, centre = self._place(case, rng)
        warp, scale = self._warp(centre, rng)
        stack = neighbour_stack(case.array(), k, self._inputs.neighbours)
        if rng.random() < 0.5:
            stack = stack[::-1]
        size = self._crops.size_px
        crop = np.stack([self._warped(plane, warp, size) for plane in stack])
        crop += rng.normal(0, rng.uniform(0, self._crops.extra_noise_hu), crop.shape)
        crop = crop * rng.uniform(0.96, 1.04) + rng.normal(0, 12)
        labels = [label for label in case.labels if label.slice == k]
        item = self._targets(labels, warp, scale, case.pixel_mm)
        item["image"] = network_input(crop, self._inputs)
        return item

    def _place(self, case: Case, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Choose a slice and the crop's centre in it, mostly near a label."""
        slices, rows, columns = case.array().shape
        if case.labels and rng.random() < self._crops.label_centred_share:
            wanted = "tip" if rng.random() < self._crops.tip_share else "handle"
            labels = [label for label in case.labels if label.kind == wanted] or case.labels
            label = labels[int(rng.integers(len(labels)))]
            jitter = rng.uniform(-0.35, 0.35, 2) * self._crops.size_px
            return label.slice, np.array([label.column, label.row]) + jitter
        return int(rng.integers(slices)), rng.uniform(0.2, 0.8, 2) * (columns, rows)

    def _warp(self, centre: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Affine map from volume pixels to crop pixels: turn, scale, mirror, either axis."""
        scale = float(rng.uniform(*self._crops.scale))
        turn = np.deg2rad(rng.uniform(-1, 1) * self._crops.turn_deg)
        mirror = rng.choice([-1, 1], 2)
        if rng.random() < self._crops.quarter_turn_share:
            turn += 0.5 * np.pi
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = scale * np.diag(mirror) @ rotation
        shift = 0.5 * self._crops.size_px - linear @ centre
        return np.column_stack([linear, shift]), scale

    @staticmethod
    def _warped(plane: np.ndarray, warp: np.ndarray, size: int) -> np.ndarray:
        return cv2.warpAffine(
            plane, warp, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=-1000
        ).astype(np.float32)

    def _targets(
        self, labels: list[SliceEnd], warp: np.ndarray, scale: float, pixel_mm: float
    ) -> dict[str, np.ndarray]:
        """Heatmaps at stride 4, and one row an end: cell y, cell x, offset x, y, cos, sin."""
        cells = self._crops.size_px // HEATMAP_STRIDE
        heatmap = np.zeros((2, cells, cells), np.float32)
        ends = np.zeros((MAX_ENDS, 6), np.float32)
        count = 0
        for label in labels:
            x, y = warp @ (label.column, label.row, 1.0) / HEATMAP_STRIDE
            if not (0 <= x < cells and 0 <= y < cells) or count == MAX_ENDS:
                continue
            kind = TIP if label.kind == "tip" else HANDLE
            radius_mm = self._crops.tip_radius_mm if kind == TIP else self._crops.handle_radius_mm
            radius = radius_mm * scale / pixel_mm / HEATMAP_STRIDE
            _draw_peak(heatmap[kind], int(x), int(y), (2 * radius + 1) / 6)
            cos, sin = _turned(label.angle_deg, warp)
            ends[count] = (int(y), int(x), x - int(x), y - int(y), cos, sin)
            count += 1
        return {"heatmap": heatmap, "ends": ends, "count": np.int64(count)}


MAX_ENDS = 128
"""Room for ends in one crop; 43 needles on one slice leave plenty."""


def _draw_peak(heatmap: np.ndarray, x: int, y: int, sigma: float) -> None:
    reach = int(np.ceil(3 * sigma))
    rows, columns = heatmap.shape
    y0, y1 = max(0, y - reach), min(rows, y + reach + 1)
    x0, x1 = max(0, x - reach), min(columns, x + reach + 1)
    dy, dx = np.mgrid[y0 - y : y1 - y, x0 - x : x1 - x]
    peak = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    heatmap[y0:y1, x0:x1] = np.maximum(heatmap[y0:y1, x0:x1], peak)


def _turned(angle_deg: float, warp: np.ndarray) -> tuple[float, float]:
    """Unit vector (cos, sin) of a polar angle after the warp; y counts downwards in the array."""
    angle = np.deg2rad(angle_deg)
    x, y = warp[:, :2] @ (np.cos(angle), -np.sin(angle))
    length = float(np.hypot(x, y))
    return float(x) / length, float(-y) / length
