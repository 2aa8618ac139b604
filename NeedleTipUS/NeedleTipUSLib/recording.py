"""Sightings kept: a sequence of tips synchronized with the images, and a table."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer import vtkMRMLSequenceBrowserNode, vtkMRMLSequenceNode, vtkMRMLVolumeNode

from needle_backend.core.errors import InputError
from needle_backend.us.tips import FrameAnswer
from needle_backend.us.track_table import write_tips
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.tip_nodes import tip_node

TIP_SEQUENCE_NAME = "Needle tip"


class Recording:
    """Keeps each tip with the image that it belongs to.

    An answer comes some 50 ms after its image, when the stream shows the next one. So nothing is
    left to Slicer's own recording, which would store the two side by side as they come: image and
    tip are written under the image's own time. Of a sequence that is replayed only the tips are
    kept, beside its images.

    Attributes
    ----------
    answers
        Everything kept so far, one a frame.
    """

    def __init__(self, volume_node: vtkMRMLVolumeNode) -> None:
        self._volume_node = volume_node
        self.answers: list[FrameAnswer] = []
        browser = browser_of(volume_node)
        self._images: vtkMRMLSequenceNode | None = None
        if browser is None:
            browser = slicer.mrmlScene.AddNewNodeByClass(
                "vtkMRMLSequenceBrowserNode", f"{volume_node.GetName()} with tip"
            )
            self._images = _add_sequence(browser, f"{volume_node.GetName()} recorded")
        self.browser = browser
        self.tips = _add_sequence(browser, TIP_SEQUENCE_NAME)

    def keep(self, sighting: Sighting) -> None:
        """Keep a tip with its image; a frame that is replayed again replaces what was known."""
        answer = sighting.answer
        if self._images is not None:
            value = f"{answer.time_s:.3f}"
            self._images.SetDataNodeAtValue(_image_node(sighting, self._volume_node), value)
        elif sighting.index_value is not None:
            value = sighting.index_value
        else:
            return
        self.tips.SetDataNodeAtValue(tip_node(), value)
        self.answers.append(answer)

    def write_table(self, path: Path) -> None:
        """Write what was kept as a table, in the form of ``needles track``.

        Raises
        ------
        InputError
            When nothing was kept, or the place is not writable.
        """
        if not self.answers:
            raise InputError("Nothing was recorded yet; start tracking and record some images.")
        write_tips(path, self.answers)


def browser_of(volume_node: vtkMRMLVolumeNode) -> vtkMRMLSequenceBrowserNode | None:
    """Return the browser that replays into a volume; None when it is live."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        master = browser.GetMasterSequenceNode()
        if master is not None and browser.GetProxyNode(master) is volume_node:
            return browser
    return None


def index_value_of(volume_node: vtkMRMLVolumeNode) -> str | None:
    """Return where in its sequence a replayed volume is; None when it is live."""
    browser = browser_of(volume_node)
    if browser is None or browser.GetSelectedItemNumber() < 0:
        return None
    return browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())


def _add_sequence(browser: vtkMRMLSequenceBrowserNode, name: str) -> vtkMRMLSequenceNode:
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetIndexTypeFromString("numeric")
    browser.AddSynchronizedSequenceNode(sequence)
    return sequence


def _image_node(sighting: Sighting, volume_node: vtkMRMLVolumeNode) -> vtkMRMLVolumeNode:
    """Return a volume node with the image that was looked at, as it was received."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(volume_node.GetName())
    rows, columns = sighting.image.taken
    slicer.util.updateVolumeFromArray(node, sighting.image.grey[rows, columns][None])
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(sighting.image.ijk_to_world))
    return node
