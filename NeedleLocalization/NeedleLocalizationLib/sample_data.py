"""The extension's sample CT in Slicer's Sample Data module; it comes with the extension."""

from __future__ import annotations

import hashlib
from pathlib import Path

import needle_backend

NAME = "SimulatedNeedlesCT"
CATEGORY = "NeedleGuide"
FOLDER = Path(needle_backend.__file__).parents[1] / "Resources" / "Sample"
CT, TRUTH = FOLDER / "sample_ct.nii.gz", FOLDER / "truth.json"
THUMBNAIL = Path(__file__).parents[1] / "Resources" / "Icons" / "NeedleLocalizationSample.png"


def register_sample_data() -> None:
    """Offer the sample CT; doing so again changes nothing."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris=CT.as_uri(),
        fileNames=f"{NAME}.nii.gz",
        nodeNames=NAME,
        # Without it a copy of an older version, left in Slicer's cache, would be opened.
        checksums=f"SHA256:{hashlib.sha256(CT.read_bytes()).hexdigest()}",
        thumbnailFileName=str(THUMBNAIL),
    )


def load_sample_ct() -> object:
    """Load the sample CT as the Sample Data module does, and return its volume node."""
    import SampleData

    register_sample_data()
    return SampleData.downloadSample(NAME)
