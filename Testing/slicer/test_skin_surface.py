"""The skin in the 3D view lies where the patient's skin is, and goes when it is not wanted."""

from __future__ import annotations

import numpy as np
import slicer


def skins():
    return slicer.util.getNodesByClass("vtkMRMLModelNode")


def test_the_skin_is_shown_and_removed_again(chosen_panel, scene):
    before = scene.GetNumberOfNodes()
    chosen_panel.ui.skinCheckBox.checked = True
    (skin,) = skins()
    assert 0 < skin.GetDisplayNode().GetOpacity() < 1
    chosen_panel.ui.skinCheckBox.checked = False
    assert scene.GetNumberOfNodes() == before


def test_the_skin_lies_around_the_patient(chosen_panel, volume_node):
    chosen_panel.ui.skinCheckBox.checked = True
    bounds = [0.0] * 6
    skins()[0].GetRASBounds(bounds)
    # The example's body reaches from column 12 to 35 and from row 16 to 47, 2 mm each.
    np.testing.assert_allclose(bounds[:4], (48 - 71, 48 - 23, 64 - 95, 64 - 31), atol=2.5)


def test_the_skin_moves_with_its_volume(chosen_panel, volume_node, scene):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 100.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume_node.SetAndObserveTransformNodeID(transform.GetID())
    chosen_panel.ui.skinCheckBox.checked = True
    bounds = [0.0] * 6
    skins()[0].GetRASBounds(bounds)
    assert bounds[0] > 70.0


def test_a_volume_without_image_has_no_skin(panel, scene):
    panel.ui.skinCheckBox.checked = True
    panel.ui.volumeSelector.setCurrentNode(
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    )
    assert not skins()
