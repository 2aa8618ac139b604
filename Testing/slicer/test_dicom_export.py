"""Needles of a CT that was loaded from DICOM go out beside its images, wherever it lies now."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from core.dicom_writer import write_series

from needle_backend.core.errors import InputError
from needle_backend.core.quality import QualityLimits
from slicer_harness.needle_localization import DOUBTED, QuickLocalizer, result_of

pydicom = pytest.importorskip("pydicom")

RTSTRUCT, STRUCTURED_REPORT = 3, 4
ORIGIN_LPS, SPACING_MM = np.array([-48.0, -64.0, -50.0]), (2.0, 2.0, 5.0)


@pytest.fixture
def from_dicom(chosen_panel, volume_node, apply, tmp_path, monkeypatch):
    """The panel with needles in a CT that Slicer's DICOM database knows."""
    array = slicer.util.arrayFromVolume(volume_node)
    place = np.diag([-1.0, -1.0, 1.0]) @ np.diag(SPACING_MM)
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3], ijk_to_ras[:3, 3] = place, ORIGIN_LPS * (-1, -1, 1)
    volume_node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    positions = [tuple(ORIGIN_LPS + (0, 0, 5.0 * k)) for k in range(len(array))]
    write_series(tmp_path / "ct", array, positions, pixel_mm=SPACING_MM[:2])
    files = {pydicom.dcmread(path).SOPInstanceUID: path for path in (tmp_path / "ct").iterdir()}
    database = SimpleNamespace(fileForInstance=lambda uid: str(files[uid]))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    volume_node.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    return SimpleNamespace(volume_node=volume_node, uids=set(files), folder=tmp_path)


@pytest.fixture
def turned():
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 7], [0, 0, 0, 1]], float)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return transform


def exported(from_dicom, format_=RTSTRUCT):
    from NeedleLocalizationLib.export_files import FORMATS, export_needles

    path = from_dicom.folder / "needles.dcm"
    warnings = export_needles(path, FORMATS[format_], from_dicom.volume_node, QualityLimits())
    return pydicom.dcmread(path), warnings


def ends_of(structures):
    """Return each ROI's first and last point, LPS mm."""
    contours = [
        np.reshape([float(v) for v in roi.ContourSequence[0].ContourData], (-1, 3))
        for roi in structures.ROIContourSequence
    ]
    return np.array([(points[0], points[-1]) for points in contours])


@pytest.mark.parametrize("format_", [RTSTRUCT, STRUCTURED_REPORT])
def test_the_export_refers_to_the_images_it_was_made_on(from_dicom, format_):
    dataset, warnings = exported(from_dicom, format_)
    text = str(dataset)
    assert all(uid in text for uid in from_dicom.uids)
    assert not any("did not come from DICOM" in warning for warning in warnings)


def test_needles_of_a_ct_under_a_transform_lie_where_its_images_do(from_dicom, turned):
    before = ends_of(exported(from_dicom)[0])
    np.testing.assert_allclose(before[0, 0], DOUBTED[0].tip_lps, atol=0.01)
    from_dicom.volume_node.SetAndObserveTransformNodeID(turned.GetID())
    np.testing.assert_allclose(ends_of(exported(from_dicom)[0]), before, atol=0.01)


def test_a_ct_that_was_moved_since_it_was_loaded_is_refused(from_dicom, turned):
    from_dicom.volume_node.SetAndObserveTransformNodeID(turned.GetID())
    from_dicom.volume_node.HardenTransform()
    with pytest.raises(InputError, match="CT no longer lies where its DICOM images do"):
        exported(from_dicom)
    assert not (from_dicom.folder / "needles.dcm").exists()
