"""The sample CT is offered where Slicer offers samples, and needs no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from needle_backend.core.truth import read_truth
from needle_backend.core.volume_io import read_volume


@pytest.fixture
def offered(needle_localization, monkeypatch):
    """What modules offer once Slicer has started."""
    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)
    slicer.app.startupCompleted.emit()
    return slicer.modules.sampleDataSources


def test_slicer_offers_the_sample_once_it_has_started(offered):
    (sample,) = offered["NeedleGuide"]
    assert sample["sampleName"] == "SimulatedNeedlesCT"
    assert sample["uris"].startswith("file:///")
    slicer.app.startupCompleted.emit()
    assert len(offered["NeedleGuide"]) == 1


def test_it_has_a_picture(offered):
    import qt

    (sample,) = offered["NeedleGuide"]
    picture = qt.QImage(sample["thumbnailFileName"])
    assert 100 <= picture.width() <= 400
    assert Path(sample["thumbnailFileName"]).stat().st_size < 100_000


def test_it_is_loaded_where_the_backend_sees_it(offered, scene):
    from NeedleLocalizationLib.sample_data import CT, NAME, TRUTH, load_sample_ct
    from NeedleLocalizationLib.volume_input import VolumeInput

    node = load_sample_ct()
    assert node.GetName() == NAME
    loaded, file = VolumeInput.from_node(node).to_volume(), read_volume(CT)
    np.testing.assert_array_equal(loaded.array, file.array)
    np.testing.assert_allclose(loaded.origin_lps, file.origin_lps, atol=1e-3)
    np.testing.assert_allclose(loaded.spacing_mm, file.spacing_mm, atol=1e-6)
    last = loaded.ijk_to_lps(np.array(loaded.array.shape[::-1]) - 1)
    for needle in read_truth(TRUTH):
        assert np.all(np.array(needle.tip_lps) > loaded.origin_lps)
        assert np.all(np.array(needle.handle_lps) < last + loaded.spacing_mm)
