"""Needles stay with their volume when it is put under a transform, moved with it, or hardened."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTransformableNode, vtkMRMLTransformNode
from slicer.util import VTKObservationMixin

from NeedleLocalizationLib.needle_nodes import VOLUME_REFERENCE

COMPANION_CLASSES = (
    "vtkMRMLMarkupsLineNode",
    "vtkMRMLMarkupsFiducialNode",
    "vtkMRMLModelNode",
)
SAME_MM = 1e-3


class Following(VTKObservationMixin):
    """Gives whatever belongs to a volume the volume's own transform.

    Hardening moves the volume's frame and leaves the picture where it is: so it is told by the
    volume's placement, which then is what the transform made of the one before.

    Parameters
    ----------
    on_hardened
        Called with a volume whose needles lie in another frame of its own from now on, and the
        4 x 4 matrix to it from the one before.
    """

    def __init__(self, on_hardened: Callable[[vtkMRMLScalarVolumeNode, np.ndarray], None]) -> None:
        super().__init__()
        self._on_hardened = on_hardened
        self._placements: dict[vtkMRMLScalarVolumeNode, deque[np.ndarray]] = {}

    def watch(self) -> None:
        """Observe the volumes of the scene, and no others."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if set(volumes) == set(self._placements):
            return
        self.stop()
        for node in volumes:
            self._placements[node] = deque([_placement(node)], maxlen=2)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_modified)
            self.addObserver(node, node.TransformModifiedEvent, self._on_transformed)

    def stop(self) -> None:
        """Observe nothing any more."""
        self.removeObservers()
        self._placements.clear()

    def _on_modified(self, volume_node: vtkMRMLScalarVolumeNode, event: str) -> None:
        placement = _placement(volume_node)
        if not np.array_equal(placement, self._placements[volume_node][-1]):
            self._placements[volume_node].append(placement)

    def _on_transformed(self, volume_node: vtkMRMLScalarVolumeNode, event: str) -> None:
        transform = volume_node.GetParentTransformNode()
        companions = [
            node for node in _companions(volume_node) if node.GetParentTransformNode() != transform
        ]
        to_frame = None
        for node in companions:
            old = node.GetParentTransformNode()
            if old is not None and self._is_hardened(volume_node, old):
                to_frame = _to_world(old)
                node.HardenTransform()
            node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        if to_frame is not None:
            self._on_hardened(volume_node, to_frame)

    def _is_hardened(self, volume_node: Any, old: vtkMRMLTransformNode) -> bool:
        if not old.IsTransformToWorldLinear():
            return False
        now, moved = _placement(volume_node), _to_world(old)
        return any(
            np.allclose(moved @ before, now, rtol=0.0, atol=SAME_MM)
            for before in self._placements[volume_node]
        )


def _companions(volume_node: vtkMRMLScalarVolumeNode) -> list[vtkMRMLTransformableNode]:
    return [
        node
        for name in COMPANION_CLASSES
        for node in slicer.util.getNodesByClass(name)
        if node.GetNodeReferenceID(VOLUME_REFERENCE) == volume_node.GetID()
    ]


def _placement(volume_node: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return the 4 x 4 matrix from indices to RAS mm in the volume's own frame."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _to_world(transform: vtkMRMLTransformNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
