"""Where the slice views look: at a needle's tip, along a needle, across it."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLSliceNode

from needle_backend.core.needles import Point, as_point

ALONG_VIEW, ACROSS_VIEW = "Green", "Red"
MARGIN = 1.15
"""How much longer than the needle the picture is."""
ACROSS_FIELD_MM = 60.0


def jump_to(point_ras: Point) -> None:
    """Centre all slice views on a point."""
    slice_node = slicer.vtkMRMLSliceNode
    slice_node.JumpAllSlices(slicer.mrmlScene, *point_ras, slice_node.CenteredJumpSlice)


def slice_node_named(name: str) -> vtkMRMLSliceNode | None:
    """Return a slice view's node; None where there is no such view."""
    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}")


def slice_along(node: vtkMRMLSliceNode, tip_ras: Point, handle_ras: Point) -> None:
    """Turn a slice so that it holds a needle, its tip up and both ends in view.

    Seen from the front as far as the needle allows, as a coronal slice is.
    """
    tip, handle = np.array(tip_ras), np.array(handle_ras)
    up = _unit(tip - handle)
    normal = _across(up, (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    right = np.cross(up, normal)
    length_mm = float(np.linalg.norm(tip - handle))
    _turn(node, right, up, normal, (tip + handle) / 2, height_mm=MARGIN * length_mm)


def slice_across(
    node: vtkMRMLSliceNode, tip_ras: Point, handle_ras: Point, depth_mm: float
) -> Point:
    """Turn a slice across a needle, ``depth_mm`` from its tip towards its handle.

    Seen from the feet with the patient's front up as far as the needle allows, as an axial slice.
    Returns where the needle goes through it.
    """
    tip = np.array(tip_ras)
    outwards = _unit(np.array(handle_ras) - tip)
    up = _across(outwards, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    right = np.cross(up, outwards)
    middle = tip + depth_mm * outwards
    _turn(node, right, up, outwards, middle, height_mm=ACROSS_FIELD_MM)
    return as_point(middle)


class TurnedSlice:
    """Remembers how a slice lay before it was turned, and turns it back.

    Parameters
    ----------
    view
        The slice view's name.
    """

    def __init__(self, view: str) -> None:
        self._view = view
        self._before: tuple[vtk.vtkMatrix4x4, tuple[float, float, float]] | None = None

    def node(self) -> vtkMRMLSliceNode | None:
        """Return the view's node, remembering how it lies if it is not turned yet."""
        node = slice_node_named(self._view)
        if node is not None and self._before is None:
            lies = vtk.vtkMatrix4x4()
            lies.DeepCopy(node.GetSliceToRAS())
            self._before = lies, node.GetFieldOfView()
        return node

    def turn_back(self) -> None:
        """Turn the slice back, if it was turned."""
        node = slice_node_named(self._view)
        if node is not None and self._before is not None:
            lies, field_of_view = self._before
            node.GetSliceToRAS().DeepCopy(lies)
            node.UpdateMatrices()
            node.SetFieldOfView(*field_of_view)
        self._before = None

    def forget(self) -> None:
        """Leave the slice as it lies."""
        self._before = None


def _turn(
    node: vtkMRMLSliceNode,
    right: np.ndarray,
    up: np.ndarray,
    normal: np.ndarray,
    centre: np.ndarray,
    height_mm: float,
) -> None:
    width_px, height_px = node.GetDimensions()[:2]
    with slicer.util.NodeModify(node):
        lies = node.GetSliceToRAS()
        for column, vector in enumerate((right, up, normal, centre)):
            for row in range(3):
                lies.SetElement(row, column, vector[row])
        node.UpdateMatrices()
        node.SetXYZOrigin(0.0, 0.0, 0.0)
        width_mm = height_mm * width_px / max(height_px, 1)
        node.SetFieldOfView(width_mm, height_mm, node.GetFieldOfView()[2])


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else np.array([0.0, 0.0, 1.0])


def _across(axis: np.ndarray, wanted: Point, otherwise: Point) -> np.ndarray:
    """Return the unit vector perpendicular to an axis that is nearest to the one wanted."""
    for direction in (np.array(wanted), np.array(otherwise)):
        across = direction - (direction @ axis) * axis
        if np.linalg.norm(across) > 0.1:
            return _unit(across)
    raise AssertionError("two directions at right angles cannot both lie along the axis")
