"""The sample CT."""

from __future__ import annotations

from pathlib import Path

from NeedleLocalizationLib.sample_source import FOLDER, SampleSource

TRUTH = FOLDER / "truth.json"
SAMPLE = SampleSource(
    "SimulatedNeedlesCT",
    FOLDER / "sample_ct.nii.gz",
    ".nii.gz",
    Path(__file__).parents[1] / "Resources" / "Icons" / "NeedleLocalizationSample.png",
)
