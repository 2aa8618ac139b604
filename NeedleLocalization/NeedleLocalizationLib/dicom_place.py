"""Needles where other systems see them: in the frame of the DICOM images, not of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from math import dist

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle
from needle_backend.core.review_log import ReviewedNeedle
from needle_backend.export.dicom_reference import DicomReference
from NeedleLocalizationLib.implant import swap_lps_ras
from NeedleLocalizationLib.needle_nodes import to_frame_of

OFF_MM = 0.5
"""Headers are rounded; a CT that lies farther from its images than this was moved."""


def in_volume_frame(
    needles: Sequence[ReviewedNeedle], volume_node: vtkMRMLScalarVolumeNode
) -> list[ReviewedNeedle]:
    """Return needles of the world where they lie in the volume's own frame."""
    local = to_frame_of(volume_node)

    def moved(needle: Needle) -> Needle:
        return replace(needle, tip_lps=local(needle.tip_lps), handle_lps=local(needle.handle_lps))

    return [replace(item, needle=moved(item.needle)) for item in needles]


def check_place(volume_node: vtkMRMLScalarVolumeNode, reference: DicomReference) -> None:
    """Make sure that a volume lies in its own frame where its first and last image say.

    Raises
    ------
    InputError
        When such an image's first pixel is not at a corner of the volume.
    """
    known = [image.position_lps for image in reference.images if image.position_lps is not None]
    if not known:
        return
    corners_ras = _corners_ras(volume_node)
    end = max(known, key=partial(dist, known[0]))
    for position_lps in (end, max(known, key=partial(dist, end))):
        off_mm = np.linalg.norm(corners_ras - swap_lps_ras(position_lps), axis=1).min()
        if off_mm > OFF_MM:
            raise InputError(
                _(
                    "{name} no longer lies where its DICOM images do ({off:.1f} mm off), so its "
                    "needles would lie wrong in other systems; load the images again and find the "
                    "needles there."
                ).format(name=volume_node.GetName(), off=off_mm)
            )


def _corners_ras(volume_node: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return the centres of the volume's corner voxels in its own frame, (8, 3)."""
    ijk_to_ras = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(ijk_to_ras)
    last = np.array(volume_node.GetImageData().GetDimensions()) - 1
    corners = np.array([[*(last * corner), 1.0] for corner in product((0, 1), repeat=3)])
    return (corners @ slicer.util.arrayFromVTKMatrix(ijk_to_ras).T)[:, :3]
