"""Export cases as an nnU-Net v2 raw data set, to train the paper's segmentation baseline with.

Each needle becomes a cylinder from its tip to its handle (3 mm radius; Xiao et al. 2025). The
format is that of nnU-Net's documentation, dataset_format.md: imagesTr/NAME_0000.nii.gz,
labelsTr/NAME.nii.gz and dataset.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.needles import Needle
from needle_backend.core.truth import read_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import read_volume, write_volume
from needle_backend.ct.training.splits import other_folds

RADIUS_MM = 3.0
NEEDLE = 1
_ENDING = ".nii.gz"


def check_dataset_name(folder: Path) -> None:
    """Make sure that nnU-Net will recognise a folder as a data set.

    Raises
    ------
    InputError
        When its name is not like Dataset501_Needles.
    """
    if not re.fullmatch(r"Dataset\d{3}_\w+", folder.name):
        raise InputError(
            f"{folder} cannot be an nnU-Net data set; name it like {folder / 'Dataset501_Needles'}."
        )


def export_nnunet(cases: Sequence[Path], folds: list[list[str]], output: Path) -> None:
    """Write case folders as a raw data set with its folds.

    Parameters
    ----------
    cases
        Folders with ct.nii.gz and truth.json.
    folds
        Names of the cases of each fold; written as splits_final.json, which nnU-Net wants in its
        folder of preprocessed data.
    output
        The folder to write, named like Dataset501_Needles.

    Raises
    ------
    InputError
        When the folder's name is none that nnU-Net knows, or a case cannot be read.
    """
    check_dataset_name(output)
    for case in cases:
        volume = read_volume(case / "ct.nii.gz")
        mask = needle_mask(read_truth(case / "truth.json"), volume)
        labels = Volume(mask, volume.spacing_mm, volume.origin_lps)
        write_volume(output / "imagesTr" / f"{case.name}_0000{_ENDING}", volume)
        write_volume(output / "labelsTr" / f"{case.name}{_ENDING}", labels)
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "needle": NEEDLE},
        "numTraining": len(cases),
        "file_ending": _ENDING,
    }
    splits = [{"train": other_folds(folds, i), "val": fold} for i, fold in enumerate(folds)]
    for name, content in (("dataset.json", description), ("splits_final.json", splits)):
        with written_whole(output / name) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def needle_mask(needles: Sequence[Needle], volume: Volume) -> np.ndarray:
    """Draw needles as cylinders with flat ends; return 0 and :data:`NEEDLE`, uint8."""
    mask = np.zeros(volume.array.shape, np.uint8)
    last = np.array(mask.shape[::-1]) - 1
    for needle in needles:
        tip, handle = np.array(needle.tip_lps), np.array(needle.handle_lps)
        corners = volume.lps_to_ijk(np.array([tip, handle]))
        margin = RADIUS_MM / np.array(volume.spacing_mm)
        low = np.clip(np.floor(corners.min(axis=0) - margin), 0, last + 1).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0) + margin) + 1, 0, last + 1).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
        kji = np.moveaxis(np.mgrid[box], 0, -1)
        offset = volume.ijk_to_lps(kji[..., ::-1]) - tip
        direction = (handle - tip) / needle.length_mm
        along = offset @ direction
        across = np.linalg.norm(offset - along[..., None] * direction, axis=-1)
        inside = (along >= 0) & (along <= needle.length_mm) & (across <= RADIUS_MM)
        mask[box][inside] = NEEDLE
    return mask
