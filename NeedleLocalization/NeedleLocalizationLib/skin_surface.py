"""The patient's skin in the 3D view: a translucent surface at -400 HU."""

from __future__ import annotations

import slicer
import vtk
from slicer import vtkMRMLModelNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from NeedleLocalizationLib.folders import move_to_folder, remove_with_companions

SKIN_HU = -400.0
VOXEL_MM = 3.0
"""Voxels are averaged to about this size: the surface is to look at, not to measure."""
COLOUR, OPACITY = (0.93, 0.76, 0.65), 0.2
SURFACE_ATTRIBUTE = "NeedleGuide.surface"
VOLUME_REFERENCE = "NeedleGuide.volume"


def show_skin(volume_node: vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    """Show a volume's skin, made when it is not there yet, or remove it."""
    if volume_node is None:
        return
    node = _find(volume_node)
    if node is not None and not visible:
        remove_with_companions(node)
    elif node is None and visible and volume_node.GetImageData() is not None:
        _add(volume_node, skin_of(volume_node))


def skin_of(volume_node: vtkMRMLScalarVolumeNode) -> vtk.vtkPolyData:
    """Return the largest connected surface at :data:`SKIN_HU`, RAS mm in the volume's frame."""
    shrink = vtk.vtkImageShrink3D()
    shrink.SetInputData(volume_node.GetImageData())
    factors = (max(1, round(VOXEL_MM / spacing_mm)) for spacing_mm in volume_node.GetSpacing())
    shrink.SetShrinkFactors(*factors)
    shrink.AveragingOn()
    surface = vtk.vtkFlyingEdges3D()
    surface.SetInputConnection(shrink.GetOutputPort())
    surface.SetValue(0, SKIN_HU)
    surface.ComputeScalarsOff()  # they would colour the surface in place of its own colour
    body = vtk.vtkPolyDataConnectivityFilter()
    body.SetInputConnection(surface.GetOutputPort())
    body.SetExtractionModeToLargestRegion()
    ijk_to_ras, transform = vtk.vtkMatrix4x4(), vtk.vtkTransform()
    volume_node.GetIJKToRASMatrix(ijk_to_ras)
    transform.SetMatrix(ijk_to_ras)
    in_ras = vtk.vtkTransformPolyDataFilter()
    in_ras.SetInputConnection(body.GetOutputPort())
    in_ras.SetTransform(transform)
    in_ras.Update()
    return in_ras.GetOutput()


def _find(volume_node: vtkMRMLScalarVolumeNode) -> vtkMRMLModelNode | None:
    for node in slicer.util.getNodesByClass("vtkMRMLModelNode"):
        is_of_volume = node.GetNodeReferenceID(VOLUME_REFERENCE) == volume_node.GetID()
        if is_of_volume and node.GetAttribute(SURFACE_ATTRIBUTE):
            return node
    return None


def _add(volume_node: vtkMRMLScalarVolumeNode, surface: vtk.vtkPolyData) -> None:
    with slicer.util.RenderBlocker():
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", _("Skin"))
        node.SetAttribute(SURFACE_ATTRIBUTE, "skin")
        node.SetNodeReferenceID(VOLUME_REFERENCE, volume_node.GetID())
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        node.SetAndObservePolyData(surface)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetColor(COLOUR)
        display.SetOpacity(OPACITY)
        display.SetVisibility2D(False)
        move_to_folder(node, volume_node)
