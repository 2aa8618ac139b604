"""Slices turned along and across the selected needle, and back."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from slicer_harness.needle_localization import DOUBTED, QuickLocalizer, result_of, select
from slicer_harness.slice_view import SliceView


@pytest.fixture
def reviewed(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    return chosen_panel


@pytest.fixture
def views(volume_node):
    made = {
        "Red": SliceView("Red", "Axial", volume_node),
        "Green": SliceView("Green", "Coronal", volume_node),
    }
    yield made
    for view in made.values():
        view.close()


def ends(line):
    return [np.array(line.GetNthControlPointPositionWorld(i)) for i in range(2)]


def lies(view):
    node = view.node
    return (
        *slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).ravel().round(6),
        *np.round(node.GetFieldOfView(), 6),
    )


def test_selecting_a_needle_shows_its_tip_in_every_slice(reviewed, views):
    tip, _handle = ends(select(reviewed, "N10"))
    assert all(view.sees(tip) for view in views.values())


def test_the_slice_along_a_needle_holds_both_ends(reviewed, views, pictures):
    line = select(reviewed, "N10")
    reviewed.ui.alongButton.click()
    assert all(views["Green"].sees(end) for end in ends(line))
    views["Green"].save_picture(pictures / "slice_along_a_needle.png")
    other = select(reviewed, "N04")
    assert all(views["Green"].sees(end) for end in ends(other))


def test_the_slice_is_turned_back_when_the_button_is_released(reviewed, views):
    select(reviewed, "N10")
    before = lies(views["Green"])
    reviewed.ui.alongButton.click()
    assert lies(views["Green"]) != before
    reviewed.ui.alongButton.click()
    assert lies(views["Green"]) == before


def test_the_slice_across_a_needle_goes_as_deep_as_the_slider(reviewed, views):
    tip, handle = ends(select(reviewed, "N10"))
    reviewed.ui.acrossButton.click()
    reviewed.ui.depthSlider.value = 40
    outwards = (handle - tip) / np.linalg.norm(handle - tip)
    assert views["Red"].sees(tip + 40 * outwards)
    normal = slicer.util.arrayFromVTKMatrix(views["Red"].node.GetSliceToRAS())[:3, 2]
    assert abs(normal @ outwards) == pytest.approx(1.0)
    assert reviewed.ui.depthLabel.text == "40 mm from the tip"
    assert reviewed.ui.depthSlider.maximum == round(np.linalg.norm(handle - tip))


def marks():
    named = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    return [node for node in named if node.GetName() == "Needle in the slice across"]


def test_a_mark_shows_where_the_needle_goes_through_the_slice_across(reviewed, views):
    tip, handle = ends(select(reviewed, "N10"))
    outwards = (handle - tip) / np.linalg.norm(handle - tip)
    reviewed.ui.acrossButton.click()
    for depth_mm in (0, 40):
        reviewed.ui.depthSlider.value = depth_mm
        (mark,) = marks()
        at = mark.GetNthControlPointPositionWorld(0)
        np.testing.assert_allclose(at, tip + depth_mm * outwards, atol=1e-6)
    display = mark.GetDisplayNode()
    assert display.IsDisplayableInView(views["Red"].node.GetID())
    assert not display.IsDisplayableInView(views["Green"].node.GetID())
    assert not mark.GetSaveWithScene()
    assert not display.GetSaveWithScene()
    reviewed.ui.acrossButton.click()
    assert marks() == []


def test_the_mark_across_goes_with_its_needle(reviewed, views):
    select(reviewed, "N10")
    reviewed.ui.acrossButton.click()
    assert len(marks()) == 1
    reviewed.ui.deleteButton.click()
    assert marks() == []


def test_without_a_needle_there_is_nothing_to_turn_to(reviewed, views):
    select(reviewed, "N10")
    reviewed.ui.alongButton.click()
    reviewed.ui.deleteButton.click()
    assert not reviewed.ui.alongButton.enabled
    assert not reviewed.ui.alongButton.checked


coordinate = st.floats(-200.0, 200.0, allow_nan=False)
point = st.tuples(coordinate, coordinate, coordinate)


@settings(deadline=None, max_examples=30)
@given(tip=point, handle=point)
def test_a_slice_along_any_needle_holds_both_ends(needle_localization, tip, handle):
    from NeedleLocalizationLib.slice_views import slice_along

    assume(np.linalg.norm(np.subtract(tip, handle)) > 20.0)
    node = slicer.vtkMRMLSliceNode()
    node.SetDimensions(400, 300, 1)
    node.SetFieldOfView(200.0, 150.0, 1.0)
    slice_along(node, tip, handle)
    turned = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    np.testing.assert_allclose(turned[:3, :3].T @ turned[:3, :3], np.eye(3), atol=1e-9)
    width_mm, height_mm, _ = node.GetFieldOfView()
    for end in (tip, handle):
        x, y, off_mm, _one = np.linalg.inv(turned) @ (*end, 1.0)
        assert (abs(x) <= width_mm / 2, abs(y) <= height_mm / 2) == (True, True)
        assert off_mm == pytest.approx(0.0, abs=1e-6)
