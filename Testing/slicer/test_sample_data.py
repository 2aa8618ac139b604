"""Samples are offered where Slicer offers them, and need no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from needle_backend.core.truth import read_truth
from needle_backend.core.volume_io import read_volume


@pytest.fixture
def offered(needle_localization, needle_tip_us, monkeypatch):
    """What modules offer once Slicer has started, by name."""
    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)
    slicer.app.startupCompleted.emit()
    slicer.app.startupCompleted.emit()
    samples = slicer.modules.sampleDataSources["NeedleGuide"]
    assert len(samples) == 2
    return {sample["sampleName"]: sample for sample in samples}


@pytest.mark.parametrize("name", ["SimulatedNeedlesCT", "SimulatedPuncture"])
def test_slicer_offers_samples_with_a_picture_once_it_has_started(offered, name):
    import qt

    sample = offered[name]
    assert sample["uris"].startswith("file:///")
    picture = qt.QImage(sample["thumbnailFileName"])
    assert 100 <= picture.width() <= 400
    assert Path(sample["thumbnailFileName"]).stat().st_size < 100_000


def test_the_sample_ct_is_loaded_where_the_backend_sees_it(offered, scene):
    from NeedleLocalizationLib.sample_data import SAMPLE, TRUTH
    from NeedleLocalizationLib.volume_input import VolumeInput

    node = SAMPLE.load()
    assert node.GetName() == SAMPLE.name
    loaded, file = VolumeInput.from_node(node).to_volume(), read_volume(SAMPLE.path)
    np.testing.assert_array_equal(loaded.array, file.array)
    np.testing.assert_allclose(loaded.origin_lps, file.origin_lps, atol=1e-3)
    np.testing.assert_allclose(loaded.spacing_mm, file.spacing_mm, atol=1e-6)
    last = loaded.ijk_to_lps(np.array(loaded.array.shape[::-1]) - 1)
    for needle in read_truth(TRUTH):
        assert np.all(np.array(needle.tip_lps) > loaded.origin_lps)
        assert np.all(np.array(needle.handle_lps) < last + loaded.spacing_mm)


def test_the_sample_recording_is_loaded_so_that_it_can_be_replayed(offered, scene):
    from NeedleTipUSLib.sample_data import load_sample_recording

    browser = load_sample_recording()
    images = browser.GetProxyNode(browser.GetMasterSequenceNode())
    first = slicer.util.arrayFromVolume(images).copy()
    browser.SetSelectedItemNumber(browser.GetNumberOfItems() - 1)
    assert first.shape == (1, 240, 320)
    assert (slicer.util.arrayFromVolume(images) != first).mean() > 0.2
    assert 0.1 < images.GetSpacing()[0] == images.GetSpacing()[1] < 0.3
