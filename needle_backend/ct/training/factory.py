"""Make folders of simulated cases: in parallel, restartable, the same bytes from the same seed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle
from needle_backend.core.runner import Runner, run_here
from needle_backend.core.truth import write_truth
from needle_backend.core.volume import Volume
from needle_backend.ct.training.settings import SimulationSettings
from needle_backend.ct.training.simulate import SimulatedCase, simulate_case


@dataclass(frozen=True)
class CaseOrder:
    """What to simulate: cases ``first`` .. ``first + cases - 1`` of one seed."""

    settings: SimulationSettings
    seed: int
    cases: int
    output: Path
    backgrounds: tuple[Path, ...] = ()
    first: int = 0


def simulate_cases(order: CaseOrder, runner: Runner = run_here) -> Iterator[Path]:
    """Write case folders and yield each as it is ready; folders already there are kept.

    Raises
    ------
    InputError
        When the output folder cannot be made.
    """
    try:
        order.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{order.output} cannot be made ({error.strerror}).") from error
    numbers = range(order.first, order.first + order.cases)
    for outcome in runner(partial(make_case, order), numbers):
        yield outcome.value()


def make_case(order: CaseOrder, number: int) -> Path:
    """Simulate and write one case unless it is already there."""
    folder = order.output / f"case_{number:03d}"
    if (folder / "truth.json").exists():
        return folder
    case = simulate_case(order.settings, case_seed(order.seed, number), order.backgrounds)
    unfinished = order.output / f".{folder.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    write_case(case, unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def case_seed(seed: int, number: int) -> int:
    """Seed of one case: different for every (seed, number), the same on every machine."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def write_case(case: SimulatedCase, folder: Path) -> None:
    """Write ``ct.nii.gz`` and ``truth.json`` into an existing folder."""
    image = sitk.GetImageFromArray(case.volume.array)
    image.SetSpacing(case.volume.spacing_mm)
    image.SetOrigin(case.volume.origin_lps)
    sitk.WriteImage(image, str(folder / "ct.nii.gz"), useCompression=True, compressionLevel=3)
    write_truth(folder / "truth.json", case.needles, case.truth_extra())


_WINDOW_HU = (-250.0, 600.0)
_TILE_PX = 300


def contact_sheet(cases: Iterable[tuple[str, Volume, tuple[Needle, ...]]], path: Path) -> None:
    """Draw one row a case: three slices, the axial and coronal maximum, and the truth over it."""
    rows = [_sheet_row(name, volume, needles) for name, volume, needles in cases]
    cv2.imwrite(str(path), np.concatenate(rows))


def _sheet_row(name: str, volume: Volume, needles: tuple[Needle, ...]) -> np.ndarray:
    hu = volume.array
    count = len(hu)
    pictures = [_grey(hu[int(k)]) for k in np.linspace(1, count - 2, 3)]
    axial, truth = _grey(hu.max(0)), _grey(hu.max(0))
    for needle in needles:
        tip, handle = (
            tuple(
                int(v) for v in volume.lps_to_ijk(np.array(end))[:2] * _TILE_PX / max(hu.shape[1:])
            )
            for end in (needle.tip_lps, needle.handle_lps)
        )
        cv2.line(truth, tip, handle, (0, 220, 255), 1, cv2.LINE_AA)
        cv2.circle(truth, tip, 2, (0, 0, 255), -1, cv2.LINE_AA)
    row = np.concatenate([*pictures, axial, truth], axis=1)
    text = f"{name}  {count} slices x {volume.spacing_mm[2]:.1f} mm  {len(needles)} needles"
    cv2.putText(row, text, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (90, 255, 90), 1, cv2.LINE_AA)
    return row


def _grey(plane: np.ndarray) -> np.ndarray:
    low, high = _WINDOW_HU
    grey = np.clip((plane.astype(np.float32) - low) / (high - low), 0, 1) * 255
    rows, columns = grey.shape
    size = max(rows, columns)
    square = np.pad(grey, ((0, size - rows), (0, size - columns)))
    small = cv2.resize(square, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small.astype(np.uint8), cv2.COLOR_GRAY2BGR)
