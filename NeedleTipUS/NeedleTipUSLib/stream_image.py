"""An image of a stream as the backend reads it: grey, the right way up, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLVolumeNode
from vtk.util.numpy_support import vtk_to_numpy

from needle_backend.core.errors import InputError
from needle_backend.us.grey import GreyWindow, window_of

ORIENTATIONS: dict[str, tuple[slice, slice]] = {
    "as received": (slice(None), slice(None)),
    "top and bottom swapped": (slice(None, None, -1), slice(None)),
    "left and right swapped": (slice(None), slice(None, None, -1)),
    "turned by 180 degrees": (slice(None, None, -1), slice(None, None, -1)),
}
"""How rows and columns are taken so that the probe is at the top, as the network has learnt it."""

SMALLEST_PX = 32
BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue (ITU-R BT.601)."""
COLOUR_APART = 60
MUCH_COLOUR = 0.0005
_EVERY = 4


@dataclass(frozen=True)
class StreamImage:
    """One image.

    Attributes
    ----------
    grey
        uint8 [row, column], the right way up.
    orientation
        How it was turned, one of :data:`ORIENTATIONS`.
    is_coloured
        Whether there are colours in it, which turn grey.
    ijk_to_world
        (4, 4): from the node's own columns and rows to RAS mm in the world.
    """

    grey: np.ndarray
    orientation: str
    is_coloured: bool
    ijk_to_world: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.grey.shape[1], self.grey.shape[0]

    @property
    def taken(self) -> tuple[slice, slice]:
        """How rows and columns are taken to turn the image, or to turn it back."""
        return ORIENTATIONS[self.orientation]

    def to_world(self, points_xy: np.ndarray) -> np.ndarray:
        """Return points (n, 2) in pixels of the image as (n, 3) RAS mm in the world."""
        flips = [taken.step == -1 for taken in reversed(self.taken)]
        last = np.array(self.size) - 1
        ij = np.where(flips, last - points_xy, points_xy)
        columns = self.ijk_to_world[:3]
        return ij @ columns[:, :2].T + columns[:, 3]

    @property
    def is_calibrated(self) -> bool:
        """Whether pixels have a size; one of exactly 1 mm both ways is that of an unknown one."""
        sizes_mm = np.linalg.norm(self.ijk_to_world[:3, :2], axis=0)
        return not np.allclose(sizes_mm, 1.0, rtol=0.0, atol=1e-9)


class StreamReader:
    """Reads a volume node's images, all of a stream on the same scale of grey."""

    def __init__(self) -> None:
        self._window: GreyWindow | None = None
        self._kind: np.dtype | None = None

    def read(self, node: vtkMRMLVolumeNode, orientation: str) -> StreamImage:
        """Copy the node's image.

        Raises
        ------
        InputError
            When the node shows no single 2D image, or lies under a transform that is not linear.
        """
        pixels = _pixels(node)
        grey = self._eight_bits(_brightness(pixels), node.GetName())
        rows, columns = ORIENTATIONS[orientation]
        turned = np.ascontiguousarray(grey[rows, columns])
        return StreamImage(turned, orientation, _is_coloured(pixels), ijk_to_world(node))

    def _eight_bits(self, grey: np.ndarray, name: str) -> np.ndarray:
        if grey.dtype == np.uint8:
            return grey
        if np.issubdtype(grey.dtype, np.floating) and not np.isfinite(grey).all():
            raise InputError(f"{name} holds values that are no numbers (NaN or infinite).")
        if self._window is None or self._kind != grey.dtype:
            self._window, self._kind = window_of([grey]), grey.dtype
        return self._window.apply(grey)


def ijk_to_world(node: vtkMRMLVolumeNode) -> np.ndarray:
    """Return a volume's 4 x 4 matrix from indices to RAS mm, parent transforms applied.

    Raises
    ------
    InputError
        When a parent transform is not linear.
    """
    ijk_to_ras, ras_to_world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise InputError(
                f"{node.GetName()} is under a transform that is not linear "
                f"({transform.GetName()}); use one that is."
            )
        transform.GetMatrixTransformToWorld(ras_to_world)
    to_array = slicer.util.arrayFromVTKMatrix
    return to_array(ras_to_world) @ to_array(ijk_to_ras)


def _pixels(node: vtkMRMLVolumeNode) -> np.ndarray:
    """Return a view of the node's pixels, [row, column, channel]."""
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"{node.GetName()} holds no image yet.")
    columns, rows, slices = image.GetDimensions()
    if slices != 1:
        raise InputError(
            f"{node.GetName()} is a volume of {slices} slices; the tip is looked for in 2D images."
        )
    if min(columns, rows) < SMALLEST_PX:
        raise InputError(
            f"{node.GetName()} has {columns} x {rows} pixels; at least {SMALLEST_PX} x "
            f"{SMALLEST_PX} are needed."
        )
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    return values.reshape(rows, columns, -1)


def _brightness(pixels: np.ndarray) -> np.ndarray:
    """Return grey [row, column]; one or two channels are grey and opacity, more begin with RGB."""
    if pixels.shape[2] < 3:
        return pixels[..., 0].copy()
    grey = pixels[..., :3] @ BRIGHTNESS
    return np.rint(grey).astype(np.uint8) if pixels.dtype == np.uint8 else grey


def _is_coloured(pixels: np.ndarray) -> bool:
    if pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        return False
    some = pixels[::_EVERY, ::_EVERY, :3].astype(int)
    return bool((np.ptp(some, axis=2) > COLOUR_APART).mean() > MUCH_COLOUR)
