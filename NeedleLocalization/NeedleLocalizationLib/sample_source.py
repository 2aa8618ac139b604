"""Offer a file that comes with the extension in Slicer's Sample Data module."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import needle_backend

CATEGORY = "NeedleGuide"
FOLDER = Path(needle_backend.__file__).parents[1] / "Resources" / "Sample"


@dataclass(frozen=True)
class SampleSource:
    """One sample.

    Attributes
    ----------
    name
        Of the sample, and of the node that it becomes.
    path
        The file.
    suffix
        The file's, with all its dots.
    thumbnail
        The sample's picture.
    file_type
        What Slicer reads it as.
    """

    name: str
    path: Path
    suffix: str
    thumbnail: Path
    file_type: str = "VolumeFile"

    def register(self) -> None:
        """Offer the sample; doing so again changes nothing."""
        import SampleData

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=self.name,
            uris=self.path.as_uri(),
            fileNames=f"{self.name}{self.suffix}",
            nodeNames=self.name,
            loadFileType=self.file_type,
            # Without it a copy of an older version, left in Slicer's cache, would be opened.
            checksums=f"SHA256:{hashlib.sha256(self.path.read_bytes()).hexdigest()}",
            thumbnailFileName=str(self.thumbnail),
        )

    def load(self) -> object:
        """Load the sample as the Sample Data module does, and return its node."""
        import SampleData

        self.register()
        return SampleData.downloadSample(self.name)
