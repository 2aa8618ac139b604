"""The advanced section: what is chosen there reaches the backend, is kept, and is told."""

from __future__ import annotations

import pytest
import qt
import slicer

from needle_backend.core.needles import LocateOptions
from needle_backend.ct.solvers import SOLVERS
from slicer_harness.needle_localization import save_picture
from slicer_harness.scene_files import load_mrb, save_mrb


@pytest.fixture
def asked(chosen_panel, apply, needle_localization):
    """Click Apply and return the options that the localizer got."""
    from NeedleLocalizationLib.self_test import GivenNeedles

    def run():
        localizer = GivenNeedles()
        apply(chosen_panel, localizer)
        return localizer.asked[0][1]

    return run


def choose_all(ui):
    ui.methodComboBox.currentIndex = 0
    ui.solverComboBox.currentIndex = list(SOLVERS).index("exact")
    ui.tipThresholdSpinBox.value = 0.1
    ui.handleThresholdSpinBox.value = 0.35
    ui.weightsLineEdit.text = "/data/own weights.safetensors"
    ui.pairWeightsLineEdit.text = "/data/own pairs.safetensors"


def test_the_section_is_closed_until_it_is_wanted(chosen_panel):
    assert chosen_panel.ui.advancedCollapsibleButton.collapsed


def test_without_a_choice_the_backend_does_what_it_does_by_itself(asked):
    assert asked() == LocateOptions()


def test_every_choice_reaches_the_backend(chosen_panel, asked):
    choose_all(chosen_panel.ui)
    assert asked() == LocateOptions(
        solver="exact",
        tip_threshold=0.1,
        handle_threshold=0.35,
        weights="/data/own weights.safetensors",
        pair_weights="/data/own pairs.safetensors",
    )


def test_the_other_method_needs_nothing_but_itself(chosen_panel, asked):
    ui = chosen_panel.ui
    ui.methodComboBox.currentIndex = 1
    assert asked().method == "classical"
    assert not ui.weightsLineEdit.enabled
    assert not ui.pairWeightsLineEdit.enabled
    assert not ui.solverComboBox.enabled
    ui.methodComboBox.currentIndex = 0
    assert ui.weightsLineEdit.enabled


def test_a_closed_section_tells_that_something_in_it_was_changed(chosen_panel):
    ui = chosen_panel.ui
    assert ui.advancedCollapsibleButton.text == "Advanced"
    ui.tipThresholdSpinBox.value = 0.3
    assert ui.advancedCollapsibleButton.text == "Advanced (changed)"
    ui.defaultsButton.click()
    assert ui.tipThresholdSpinBox.value == LocateOptions.tip_threshold
    assert ui.advancedCollapsibleButton.text == "Advanced"
    assert not ui.defaultsButton.enabled


def test_a_saved_scene_keeps_the_choices(chosen_panel, scene, tmp_path, pictures):
    choose_all(chosen_panel.ui)
    chosen_panel.ui.advancedCollapsibleButton.collapsed = False
    save_picture(chosen_panel, pictures / "needle_localization_advanced.png")
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    assert chosen_panel.ui.weightsLineEdit.text == ""
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    ui = chosen_panel.ui
    assert ui.solverComboBox.currentText == "exact"
    assert ui.weightsLineEdit.text == "/data/own weights.safetensors"
    assert ui.pairWeightsLineEdit.text == "/data/own pairs.safetensors"
    assert ui.handleThresholdSpinBox.value == pytest.approx(0.35)


@pytest.mark.parametrize("network", ["weights", "pairWeights"])
def test_weights_are_chosen_from_a_folder(chosen_panel, monkeypatch, network):
    ui = chosen_panel.ui
    button, line_edit = getattr(ui, f"{network}Button"), getattr(ui, f"{network}LineEdit")
    for picked in ("/data/w.safetensors", ""):
        monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *a, p=picked: p)
        button.click()
        assert line_edit.text == "/data/w.safetensors"
    others = {"weights": ui.pairWeightsLineEdit, "pairWeights": ui.weightsLineEdit}
    assert others[network].text == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("needle_count", -3),
        ("needle_count", 100000),
        ("tip_threshold", 1.5),
        ("length_mm", -10.0),
        ("solver", "magic"),
        ("method", "magic"),
    ],
)
def test_nonsense_is_refused_where_it_is_entered(chosen_panel, name, value):
    parameters = chosen_panel.logic.getParameterNode()
    before = parameters.getValue(name)
    with pytest.raises(ValueError):
        parameters.setValue(name, value)
    assert parameters.getValue(name) == before


# All ends that were seen


@pytest.fixture
def seen(chosen_panel, apply):
    from slicer_harness.needle_localization import IMPLANT, QuickLocalizer, result_of

    tips = tuple(needle.tip_lps for needle in IMPLANT[:3]) + ((20.0, 25.0, 6.0),)
    handles = tuple(needle.handle_lps for needle in IMPLANT[:3])
    result = result_of(IMPLANT[:3], unmatched_tips=tips[3:], seen_tips=tips, seen_handles=handles)
    apply(chosen_panel, QuickLocalizer(result))
    return chosen_panel


def fiducials():
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    return {node.GetName(): node for node in nodes}


def test_all_ends_seen_are_in_the_scene_hidden_and_locked(seen):
    nodes = fiducials()
    counts = {name: node.GetNumberOfControlPoints() for name, node in nodes.items()}
    assert counts == {"Tips detected": 4, "Handles detected": 3, "Tips without a handle": 1}
    assert not any(node.GetDisplayVisibility() for node in nodes.values())
    assert all(node.GetLocked() for node in nodes.values())
    tips, handles = nodes["Tips detected"], nodes["Handles detected"]
    colours = {node.GetDisplayNode().GetSelectedColor() for node in (tips, handles)}
    assert len(colours) == 2
    x, y, z = (20.0, 25.0, 6.0)
    assert tips.GetNthControlPointPosition(3) == pytest.approx((-x, -y, z))


def test_the_box_shows_and_hides_them(seen):
    nodes = fiducials()
    seen.ui.detectionsCheckBox.checked = True
    shown = {name for name, node in nodes.items() if node.GetDisplayVisibility()}
    assert shown == {"Tips detected", "Handles detected"}
    seen.ui.detectionsCheckBox.checked = False
    assert not any(node.GetDisplayVisibility() for node in nodes.values())


def test_they_are_no_needles(seen, tmp_path):
    from needle_backend.core.markups import read_markups
    from needle_backend.core.quality import QualityLimits
    from NeedleLocalizationLib.export_files import FORMATS, export_needles

    volume_node = seen.ui.volumeSelector.currentNode()
    export_needles(tmp_path / "n.mrk.json", FORMATS[0], volume_node, QualityLimits())
    assert len(read_markups(tmp_path / "n.mrk.json")) == 3


def test_the_next_run_replaces_them(seen, apply):
    from slicer_harness.needle_localization import IMPLANT, QuickLocalizer, result_of

    apply(seen, QuickLocalizer(result_of(IMPLANT[:2])))
    assert fiducials() == {}


def test_a_saved_scene_keeps_them(seen, scene, tmp_path):
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    seen.ui.detectionsCheckBox.checked = True
    assert fiducials()["Tips detected"].GetDisplayVisibility()
