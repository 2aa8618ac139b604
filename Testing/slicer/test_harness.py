"""The stand-ins behave as Slicer does where the modules rely on it, and are as strict as it is."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from slicer_harness.slicer_checkout import CHECKOUT, slicer_checkout


@parameterNodeWrapper
class Example:
    volume: slicer.vtkMRMLScalarVolumeNode
    count: Annotated[int, WithinRange(0, 10)] = 3
    length_mm: float = 1.5
    device: Annotated[str, Choice(["auto", "cpu"])] = "auto"
    visible: bool = True


@pytest.fixture
def parameters(scene):
    return Example(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


# PythonQt


def test_properties_are_attributes():
    button = qt.QPushButton("Apply")
    button.enabled = False
    assert (button.text, button.enabled) == ("Apply", False)


def test_numbers_reach_integer_properties_as_pythonqt_converts_them():
    spin_box = qt.QSpinBox()
    spin_box.value = np.int64(7)
    assert spin_box.value == 7
    spin_box.value = 3.7
    assert spin_box.value == 3


def test_a_misspelt_property_is_an_error():
    with pytest.raises(AttributeError):
        qt.QPushButton().enabledd = True


def test_slots_are_connected_by_signature_and_may_take_fewer_arguments():
    button, clicks = qt.QPushButton(), []
    slot = lambda: clicks.append("clicked")  # noqa: E731
    button.connect("clicked(bool)", slot)
    button.click()
    button.disconnect("clicked(bool)", slot)
    button.click()
    assert clicks == ["clicked"]


def test_a_signal_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="no signal"):
        qt.QComboBox().connect("currentIndexChanged(QString)", print)


# Parameters


def test_parameters_are_stored_in_the_node(parameters, scene):
    parameters.count = 7
    parameters.visible = False
    parameters.volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    again = Example(parameters.parameterNode)
    assert (again.count, again.visible, again.device) == (7, False, "auto")
    assert again.volume is parameters.volume


def test_a_removed_volume_reads_as_none(parameters, scene):
    parameters.volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    scene.RemoveNode(parameters.volume)
    assert parameters.volume is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("count", 11, ValueError),
        ("count", np.int64(5), TypeError),
        ("count", None, ValueError),
        ("device", "tpu", ValueError),
        ("visible", 1, TypeError),
    ],
)
def test_a_value_that_does_not_fit_is_refused(parameters, name, value, error):
    with pytest.raises(error):
        setattr(parameters, name, value)


def test_a_widget_and_its_parameter_follow_each_other(parameters):
    spin_box = qt.QSpinBox()
    tag = parameters.connectParametersToGui({"count": spin_box})
    assert (spin_box.value, spin_box.maximum) == (3, 10)
    spin_box.value = 8
    assert parameters.count == 8
    parameters.count = 2
    assert spin_box.value == 2
    parameters.disconnectGui(tag)
    spin_box.value = 9
    assert parameters.count == 2


def test_a_widget_that_slicer_cannot_connect_is_refused(parameters):
    with pytest.raises(RuntimeError):
        parameters.connectParametersToGui({"length_mm": qt.QSpinBox()})


def test_an_unknown_parameter_name_is_refused(parameters):
    with pytest.raises(ValueError, match="lenght_mm"):
        parameters.connectParametersToGui({"lenght_mm": qt.QDoubleSpinBox()})


def test_a_widget_cannot_choose_a_node_of_a_class_that_has_none(scene):
    @parameterNodeWrapper
    class AnyVolume:
        volume: slicer.vtkMRMLVolumeNode

    parameters = AnyVolume(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    with pytest.raises(TypeError, match="abstract"):
        parameters.connectParametersToGui({"volume": slicer.qMRMLNodeComboBox()})


def test_a_folder_without_slicers_files_is_no_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv(CHECKOUT, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="was cloned into"):
        slicer_checkout()


# The scene


def test_a_node_has_a_place_in_the_subject_hierarchy_while_it_is_in_the_scene(scene):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode")
    item = hierarchy.GetItemByDataNode(node)
    assert hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID()
    scene.RemoveNode(node)
    assert hierarchy.GetItemDataNode(item) is None


def test_slicer_knows_nothing_of_the_tests_in_its_name():
    assert not [name for name in vars(slicer) if name.startswith("test_")]
