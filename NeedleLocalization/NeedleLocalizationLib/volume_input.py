"""A volume node as the backend reads it: a copy of its voxels, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode

from needle_backend.core.errors import InputError
from needle_backend.core.orientation import volume_from_array
from needle_backend.core.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class VolumeMark:
    """What tells whether a volume node still is what it was: its voxels' time, and its place."""

    image_time: int
    ijk_to_lps: np.ndarray

    def still_describes(self, node: vtkMRMLScalarVolumeNode) -> bool:
        """Tell whether the node's voxels and place are those of the mark."""
        image = node.GetImageData()
        return (
            image is not None
            and image.GetMTime() == self.image_time
            and np.array_equal(ijk_to_lps(node), self.ijk_to_lps)
        )


@dataclass(frozen=True)
class VolumeInput:
    """What is copied from a volume node before work starts, so that later changes do not reach it.

    Attributes
    ----------
    array_kji
        A copy of the voxels, [slice, row, column].
    mark
        Where they lie, parent transforms included, and when they were copied.
    name
        The node's name.
    """

    array_kji: np.ndarray
    mark: VolumeMark
    name: str

    @classmethod
    def from_node(cls, node: vtkMRMLScalarVolumeNode | None) -> VolumeInput:
        """Copy a volume node's voxels.

        Raises
        ------
        InputError
            When there is no volume, it holds no image, more than one value a voxel, or lies under a
            transform that is not linear.
        """
        if node is None:
            raise InputError("No volume is chosen; load a CT and choose it.")
        image = node.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            raise InputError(f"{node.GetName()} holds no image data; choose another volume.")
        if image.GetNumberOfScalarComponents() != 1:
            raise InputError(
                f"{node.GetName()} has {image.GetNumberOfScalarComponents()} values per voxel; "
                "choose a CT, which has one."
            )
        return cls(
            array_kji=slicer.util.arrayFromVolume(node).copy(),
            mark=VolumeMark(image.GetMTime(), ijk_to_lps(node)),
            name=node.GetName(),
        )

    def to_volume(self) -> Volume:
        """Return the backend's volume; touches no node, so it may run in any thread."""
        return volume_from_array(self.array_kji, self.mark.ijk_to_lps, self.name)


def first_volume() -> vtkMRMLScalarVolumeNode | None:
    """Return the scene's first scalar volume that is neither a labelmap nor coloured."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next(
        (node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode"), None
    )


def ijk_to_lps(node: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return a volume's 4 x 4 matrix from indices to LPS mm, parent transforms applied.

    Raises
    ------
    InputError
        When a parent transform is not linear.
    """
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    ras_to_world = vtk.vtkMatrix4x4()
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise InputError(
                f"{node.GetName()} is under a transform that is not linear "
                f"({transform.GetName()}); harden the transform first."
            )
        transform.GetMatrixTransformToWorld(ras_to_world)
    to_array = slicer.util.arrayFromVTKMatrix
    return LPS_FROM_RAS @ to_array(ras_to_world) @ to_array(ijk_to_ras)
