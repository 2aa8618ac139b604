"""The extension's sample recording in Slicer's Sample Data module; it comes with the extension."""

from __future__ import annotations

import hashlib
from pathlib import Path

import slicer
from slicer import vtkMRMLSequenceBrowserNode

import needle_backend

NAME = "SimulatedPuncture"
CATEGORY = "NeedleGuide"
FOLDER = Path(needle_backend.__file__).parents[1] / "Resources" / "Sample"
RECORDING, TRUTH = FOLDER / "sample_us.seq.nrrd", FOLDER / "truth_us.json"
THUMBNAIL = Path(__file__).parents[1] / "Resources" / "Icons" / "NeedleTipUSSample.png"


def register_sample_data() -> None:
    """Offer the sample recording; doing so again changes nothing."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris=RECORDING.as_uri(),
        fileNames=f"{NAME}.seq.nrrd",
        nodeNames=NAME,
        loadFileTypes="SequenceFile",
        # Without it a copy of an older version, left in Slicer's cache, would be opened.
        checksums=f"SHA256:{hashlib.sha256(RECORDING.read_bytes()).hexdigest()}",
        thumbnailFileName=str(THUMBNAIL),
    )


def load_sample_recording() -> vtkMRMLSequenceBrowserNode:
    """Load the sample as the Sample Data module does, and return the browser that replays it."""
    import SampleData

    register_sample_data()
    sequence = SampleData.downloadSample(NAME)
    return slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(sequence)
