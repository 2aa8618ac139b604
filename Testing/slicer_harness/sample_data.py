"""``SampleData``: what modules offer, copied into a cache and loaded by Slicer's own readers."""

from __future__ import annotations

import hashlib
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import slicer

_cache = tempfile.TemporaryDirectory()


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: str | None = None,
        fileNames: str | None = None,
        nodeNames: str | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: str = "VolumeFile",
        checksums: str | None = None,
    ) -> None:
        """Remember a source; what all of Slicer's versions know can be given, and nothing else."""
        source = {name: value for name, value in locals().items() if name != "category"}
        sources = _sources().setdefault(category, [])
        if source not in sources:
            sources.append(source)


def downloadSample(sampleName: str) -> Any:
    known = [source for sources in _sources().values() for source in sources]
    (source,) = [source for source in known if source["sampleName"] == sampleName]
    path = Path(_cache.name, source["fileNames"])
    urllib.request.urlretrieve(source["uris"], path)
    algorithm, digest = source["checksums"].split(":")
    if hashlib.new(algorithm, path.read_bytes()).hexdigest() != digest:
        raise ValueError(f"{path} is not what was registered")
    if source["loadFileType"] == "SequenceFile":
        return _load_sequence(path, source["nodeNames"])
    return slicer.modules.volumes.logic().AddArchetypeVolume(str(path), source["nodeNames"])


def _load_sequence(path: Path, name: str) -> Any:
    """Load as Slicer's reader of sequences does: with a browser whose proxy shows the images."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(path))
    storage.ReadData(sequence)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return sequence


def _sources() -> dict[str, list[dict[str, Any]]]:
    if not hasattr(slicer.modules, "sampleDataSources"):
        slicer.modules.sampleDataSources = {}
    return slicer.modules.sampleDataSources
