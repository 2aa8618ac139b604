"""The sample recording of a puncture."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer import vtkMRMLSequenceBrowserNode

from NeedleLocalizationLib.sample_source import FOLDER, SampleSource

TRUTH = FOLDER / "truth_us.json"
SAMPLE = SampleSource(
    "SimulatedPuncture",
    FOLDER / "sample_us.seq.nrrd",
    ".seq.nrrd",
    Path(__file__).parents[1] / "Resources" / "Icons" / "NeedleTipUSSample.png",
    "SequenceFile",
)


def load_sample_recording() -> vtkMRMLSequenceBrowserNode:
    """Load the sample, and return the browser that replays it."""
    sequence = SAMPLE.load()
    return slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(sequence)
