"""What cannot be worked on is told plainly, and the scene and the disk stay as they were."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import qt
import slicer

from needle_backend.core import weights
from slicer_harness.needle_localization import (
    DOUBTED,
    QuickLocalizer,
    assert_scene_and_table_agree,
    cells,
    lines,
    result_of,
)

# Volumes


def volume_of(array, spacing_mm=(2.0, 2.0, 5.0), name="CT", node_class=None):
    ijk_to_ras = np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])
    return slicer.util.addVolumeFromArray(
        array, ijkToRAS=ijk_to_ras, name=name, nodeClassName=node_class
    )


def body(shape=(20, 64, 48)):
    array = np.full(shape, -1000, np.int16)
    array[:, shape[1] // 4 : -shape[1] // 4, shape[2] // 4 : -shape[2] // 4] = 40
    return array


def one_slice():
    volume_of(body((1, 64, 48)), name="scout")


def uniform():
    volume_of(np.zeros((20, 64, 48), np.int16), name="blank")


def with_several_values_a_voxel():
    series = np.stack([body()] * 4, axis=-1)
    node = volume_of(series, name="perfusion", node_class="vtkMRMLVectorVolumeNode")
    scalar = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "perfusion 4D")
    scalar.SetAndObserveImageData(node.GetImageData())
    slicer.mrmlScene.RemoveNode(node)


def without_an_image():
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")


def under_a_bent_transform():
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    volume_of(body()).SetAndObserveTransformNodeID(transform.GetID())


def with_a_header_that_cannot_be_right():
    volume_of(body(), spacing_mm=(2.0, 2.0, 0.001), name="broken")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (one_slice, "scout has 48 x 64 x 1 voxels; a CT volume of several slices is needed."),
        (uniform, "blank has the value 0 everywhere; a CT in HU is needed."),
        (with_several_values_a_voxel, "perfusion 4D has 4 values per voxel; choose a CT, which"),
        (without_an_image, "empty holds no image data; choose another volume."),
        (under_a_bent_transform, "under a transform that is not linear (warp); harden the"),
        (with_a_header_that_cannot_be_right, "so its header cannot be right."),
    ],
)
def test_a_volume_that_cannot_be_used_is_told_and_the_scene_kept(
    panel, scene, dialogs, make, sentence
):
    make()
    panel.enter()
    panel.logic.use(QuickLocalizer(result_of(DOUBTED)))
    before = scene.GetNumberOfNodes()
    panel.ui.applyButton.click()
    slicer.app.processEvents()
    (told,) = dialogs
    assert sentence in told
    assert panel.ui.statusLabel.text == told
    assert (panel.ui.applyButton.text, panel.ui.applyButton.enabled) == ("Apply", True)
    assert scene.GetNumberOfNodes() == before
    assert_scene_and_table_agree(panel)


def test_values_that_are_no_hounsfield_units_are_warned_of_and_allowed(panel, apply, dialogs):
    grey = np.random.default_rng(0).integers(0, 255, (20, 64, 48)).astype(np.uint8)
    volume_of(grey, name="ultrasound")
    panel.enter()
    apply(panel, QuickLocalizer(result_of(DOUBTED)))
    assert len(cells(panel)) == 16
    assert "ultrasound" in panel.ui.statusLabel.text
    assert not dialogs


# Weights


@pytest.fixture
def network_localizer():
    """What finds needles with the network, loaded now rather than while a run is waited for."""
    import torch  # noqa: F401

    from needle_backend.ct.localize import InProcessLocalizer

    return InProcessLocalizer()


def test_weights_that_are_missing_are_named(
    chosen_panel, apply, dialogs, tmp_path, network_localizer
):
    chosen_panel.ui.weightsLineEdit.text = str(tmp_path / "gone.safetensors")
    apply(chosen_panel, network_localizer)
    assert dialogs == [
        f"No weights at {tmp_path / 'gone.safetensors'}; give a .safetensors file or a name that "
        "`needles info` lists."
    ]
    assert not lines()


def test_an_installation_without_weights_is_told(
    chosen_panel, apply, dialogs, tmp_path, monkeypatch, network_localizer
):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    apply(chosen_panel, network_localizer)
    (told,) = dialogs
    assert told.startswith(f"No weights at {tmp_path}")


def test_a_file_that_is_no_weights_is_told(
    chosen_panel, apply, dialogs, tmp_path, network_localizer
):
    (tmp_path / "notes.safetensors").write_text("not weights")
    chosen_panel.ui.weightsLineEdit.text = str(tmp_path / "notes.safetensors")
    apply(chosen_panel, network_localizer)
    (told,) = dialogs
    assert "has no readable model card; put notes.json beside it." in told


# Exports


@contextmanager
def disk_that_fills_up(after_bytes: int) -> Iterator[None]:
    """Let every file end at a size, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("format_", range(5), ids=["markups", "csv", "html", "rtstruct", "sr"])
def test_a_full_disk_is_told_and_the_old_file_stays(
    chosen_panel, apply, dialogs, tmp_path, monkeypatch, format_
):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    ui = chosen_panel.ui
    ui.formatComboBox.currentIndex = format_
    target = tmp_path / "needles"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(target))
    ui.exportButton.click()
    (written,) = tmp_path.iterdir()
    before = written.read_bytes()
    with disk_that_fills_up(after_bytes=1000):
        ui.exportButton.click()
    (told,) = dialogs
    assert told.startswith(f"{written} could not be written (")
    assert ui.statusLabel.text == told
    assert [path.name for path in tmp_path.iterdir()] == [written.name]
    assert written.read_bytes() == before
    assert_scene_and_table_agree(chosen_panel)
