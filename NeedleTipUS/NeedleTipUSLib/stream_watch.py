"""Tells of a volume node's new images, once each, when it is safe to read them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer import vtkMRMLVolumeNode
from slicer.util import VTKObservationMixin


class StreamWatch(VTKObservationMixin):
    """Observes a volume node whose image changes.

    While a node changes its size it says so several times, and cannot be read in between; so its
    word is only noted, and the image looked at once Qt has nothing else to do.

    Parameters
    ----------
    on_image
        Called with the time on the monotonic clock at which the newest image arrived.
    on_gone
        Called with the reason when the node or the scene goes away; nothing is observed then.
    """

    def __init__(
        self,
        node: vtkMRMLVolumeNode,
        on_image: Callable[[float], None],
        on_gone: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._node = node
        self._on_image = on_image
        self._on_gone = on_gone
        self._image_time = -1
        self._arrived_s = 0.0
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._look)

    def start(self) -> None:
        """Observe, beginning with the image that is there."""
        scene = slicer.mrmlScene
        for event in (vtk.vtkCommand.ModifiedEvent, self._node.ImageDataModifiedEvent):
            self.addObserver(self._node, event, self._on_modified)
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_about_to_be_removed)
        self._on_modified()

    def stop(self) -> None:
        """Observe nothing any more."""
        self._timer.stop()
        self.removeObservers()

    def _on_modified(self, caller: Any = None, event: str = "") -> None:
        if not self._timer.isActive():
            self._arrived_s = time.monotonic()
            self._timer.start()

    def _look(self) -> None:
        image = self._node.GetImageData()
        if image is None or image.GetMTime() == self._image_time:
            return
        self._image_time = image.GetMTime()
        self._on_image(self._arrived_s)

    def _on_scene_start_close(self, caller: Any, event: str) -> None:
        self._end("Stopped, because the scene was closed.")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(self, caller: Any, event: str, node: Any) -> None:
        if node is self._node:
            self._end("Stopped, because the stream's volume was removed.")

    def _end(self, reason: str) -> None:
        self.stop()
        self._on_gone(reason)
