"""A data set for nnU-Net: its files, and needles as cylinders."""

from __future__ import annotations

import json
from math import pi

import numpy as np
import pytest
import SimpleITK as sitk
from ct.training.annotated import straight_needle, volume_with

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle
from needle_backend.core.truth import write_truth
from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import write_volume
from needle_backend.ct.training.nnunet import export_nnunet, needle_mask


def test_a_needle_becomes_a_cylinder_of_3_mm_radius_from_tip_to_handle():
    fine = Volume(np.zeros((120, 120, 120), np.int16), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    needle = Needle((12.0, 10.0, 15.0), (45.0, 50.0, 40.0))
    mask = needle_mask([needle], fine)
    volume_mm3 = mask.sum() * 0.5**3
    assert volume_mm3 == pytest.approx(pi * 3**2 * needle.length_mm, rel=0.03)
    assert set(np.unique(mask)) == {0, 1}
    centre = fine.ijk_to_lps(np.argwhere(mask)[:, ::-1]).mean(axis=0)
    np.testing.assert_allclose(centre, np.add(needle.tip_lps, needle.handle_lps) / 2, atol=0.1)


def test_a_needle_that_leaves_the_volume_is_cut_off_at_its_edge():
    small = Volume(np.zeros((4, 20, 20), np.int16), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0))
    mask = needle_mask([Needle((10.0, 10.0, 5.0), (10.0, -90.0, 5.0))], small)
    assert mask[1, :11, 10].all()
    assert not mask[:, 12:].any()


def test_the_data_set_has_the_files_that_nnunet_looks_for(tmp_path):
    needles = [straight_needle(40, 2)]
    cases = [tmp_path / "set" / name for name in ("case_000", "case_001")]
    for case in cases:
        write_volume(case / "ct.nii.gz", volume_with(needles))
        write_truth(case / "truth.json", needles, {})
    output = tmp_path / "Dataset501_Needles"
    export_nnunet(cases, [["case_000"], ["case_001"]], output)
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*")) == [
        "dataset.json",
        "imagesTr/case_000_0000.nii.gz",
        "imagesTr/case_001_0000.nii.gz",
        "labelsTr/case_000.nii.gz",
        "labelsTr/case_001.nii.gz",
        "splits_final.json",
    ]
    described = json.loads((output / "dataset.json").read_text())
    assert described["numTraining"] == 2
    assert described["labels"] == {"background": 0, "needle": 1}
    splits = json.loads((output / "splits_final.json").read_text())
    assert splits[0] == {"train": ["case_001"], "val": ["case_000"]}
    image = sitk.ReadImage(output / "imagesTr" / "case_000_0000.nii.gz")
    labels = sitk.ReadImage(output / "labelsTr" / "case_000.nii.gz")
    assert labels.GetSize() == image.GetSize()
    assert labels.GetOrigin() == image.GetOrigin()
    assert sitk.GetArrayFromImage(labels).max() == 1


def test_a_name_that_nnunet_does_not_know_is_refused(tmp_path):
    with pytest.raises(InputError, match="Dataset501_Needles"):
        export_nnunet([], [], tmp_path / "mine")
