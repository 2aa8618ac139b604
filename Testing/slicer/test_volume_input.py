"""A volume node reaches the backend as what it is: its voxels, where they lie in the patient."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import slicer

from needle_backend.core.errors import InputError


@pytest.fixture
def volume_input(needle_localization):
    from NeedleLocalizationLib import volume_input

    return volume_input


@pytest.fixture
def add_volume(scene):
    def add(array, ijk_to_ras, name="CT", node_class=None):
        return slicer.util.addVolumeFromArray(
            array, ijkToRAS=np.asarray(ijk_to_ras, float), name=name, nodeClassName=node_class
        )

    return add


def marked_array(marker_kji):
    array = np.full((8, 10, 12), -1000, np.int16)
    array[2:6, 3:8, 4:9] = 40
    array[tuple(marker_kji)] = 3000
    return array


ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_voxel_lies_at_the_same_millimetre_in_slicer_and_in_the_backend(
    order, signs, volume_input, add_volume
):
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = np.diag((1.5, 2.0, 5.0))[list(order)] * np.array(signs)[:, None]
    ijk_to_ras[:3, 3] = 11, -7, 40
    marker_ijk = np.array((5, 4, 3))
    node = add_volume(marked_array(marker_ijk[::-1]), ijk_to_ras)
    volume = volume_input.VolumeInput.from_node(node).to_volume()
    kji = np.argwhere(volume.array == volume.array.max())[0]
    lps = volume.ijk_to_lps(kji[::-1])
    ras = (ijk_to_ras @ (*marker_ijk, 1))[:3]
    np.testing.assert_allclose(lps * (-1, -1, 1), ras, atol=1e-6)


def test_a_linear_transform_above_the_volume_counts(volume_input, add_volume, scene):
    node = add_volume(marked_array((3, 4, 5)), np.diag((2, 2, 5, 1)))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[:3, 3] = 100, 200, 300
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    node.SetAndObserveTransformNodeID(transform.GetID())
    ijk_to_lps = volume_input.VolumeInput.from_node(node).mark.ijk_to_lps
    np.testing.assert_allclose((ijk_to_lps @ (0, 0, 0, 1))[:3], (-100, -200, 300))


def test_a_volume_under_a_bent_transform_is_refused(volume_input, add_volume, scene):
    node = add_volume(marked_array((3, 4, 5)), np.eye(4))
    transform = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="CT is under a transform that is not linear"):
        volume_input.VolumeInput.from_node(node)


def test_a_colour_image_is_refused(volume_input, add_volume):
    colours = np.zeros((2, 8, 8, 3), np.uint8)
    node = add_volume(colours, np.eye(4), name="photo", node_class="vtkMRMLVectorVolumeNode")
    with pytest.raises(InputError, match="photo has 3 values per voxel"):
        volume_input.VolumeInput.from_node(node)


def test_no_volume_and_an_empty_volume_are_refused(volume_input, scene):
    with pytest.raises(InputError, match="No volume is chosen"):
        volume_input.VolumeInput.from_node(None)
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(InputError, match="empty holds no image data"):
        volume_input.VolumeInput.from_node(empty)


def test_later_changes_to_the_node_do_not_reach_the_copy_but_are_noticed(volume_input, add_volume):
    node = add_volume(marked_array((3, 4, 5)), np.eye(4))
    copied = volume_input.VolumeInput.from_node(node)
    assert copied.mark.still_describes(node)
    slicer.util.updateVolumeFromArray(node, np.zeros((8, 10, 12), np.int16))
    assert copied.array_kji.max() == 3000
    assert not copied.mark.still_describes(node)


def test_moving_the_volume_is_noticed(volume_input, add_volume):
    node = add_volume(marked_array((3, 4, 5)), np.eye(4))
    copied = volume_input.VolumeInput.from_node(node)
    node.SetOrigin(1, 0, 0)
    assert not copied.mark.still_describes(node)


def test_a_labelmap_is_not_offered_first(volume_input, add_volume):
    add_volume(marked_array((3, 4, 5)), np.eye(4), "mask", "vtkMRMLLabelMapVolumeNode")
    assert volume_input.first_volume() is None
    node = add_volume(marked_array((3, 4, 5)), np.eye(4))
    assert volume_input.first_volume() is node
