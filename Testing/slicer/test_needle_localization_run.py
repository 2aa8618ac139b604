"""A run from Apply to its end: again, cancelled, on a volume that goes away, and failing."""

from __future__ import annotations

import qt
import slicer

from needle_backend.core.errors import InputError
from slicer_harness.needle_localization import (
    IMPLANT,
    BusyLocalizer,
    FailingLocalizer,
    QuickLocalizer,
    cells,
    lines,
    result_of,
)

# Running again


def test_a_second_run_replaces_the_needles_when_the_user_agrees(chosen_panel, apply, monkeypatch):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    asked = []
    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, **options: asked.append(text) or True
    )
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:2])))
    assert asked == ["CT has 3 needles. Replace them when the new ones are found?"]
    assert len(lines()) == 2


def test_a_second_run_does_not_start_when_the_user_declines(chosen_panel, apply, monkeypatch):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **options: False)
    apply(chosen_panel, FailingLocalizer(AssertionError("it was started")))
    assert len(lines()) == 3


def test_a_failed_second_run_keeps_the_needles_of_the_first(chosen_panel, apply, dialogs):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    apply(chosen_panel, FailingLocalizer(InputError("The CT is too short.")))
    assert len(lines()) == 3
    assert len(cells(chosen_panel)) == 3


# While it runs


def test_apply_becomes_cancel_with_progress_while_the_run_lasts(chosen_panel, start, wait_until):
    localizer = start(chosen_panel)
    ui = chosen_panel.ui
    assert (ui.applyButton.text, ui.applyButton.enabled) == ("Cancel", True)
    assert (ui.progressBar.value, ui.progressBar.isHidden()) == (50, False)
    localizer.go_on.set()
    wait_until(lambda: ui.applyButton.text == "Apply")
    assert ui.progressBar.isHidden()
    assert len(lines()) == 2


def test_cancel_stops_the_run_and_leaves_the_scene(chosen_panel, start, wait_until, scene, dialogs):
    before = scene.GetNumberOfNodes()
    localizer = start(chosen_panel)
    chosen_panel.ui.applyButton.click()
    assert not chosen_panel.ui.applyButton.enabled
    wait_until(lambda: chosen_panel.ui.applyButton.text == "Apply")
    assert localizer.was_cancelled
    assert chosen_panel.ui.statusLabel.text == "Cancelled."
    assert scene.GetNumberOfNodes() == before
    assert not dialogs


def test_the_window_answers_while_python_works_hard(chosen_panel, start, wait_until):
    localizer, ticks = BusyLocalizer(), []
    clock = qt.QTimer()
    clock.setInterval(5)
    clock.connect("timeout()", lambda: ticks.append("tick"))
    start(chosen_panel, localizer)
    clock.start()
    wait_until(lambda: len(ticks) >= 10)
    clock.stop()
    localizer.go_on.set()
    wait_until(lambda: len(lines()) == 2)


def test_removing_the_volume_stops_the_run(chosen_panel, start, wait_until, scene, volume_node):
    localizer = start(chosen_panel)
    scene.RemoveNode(volume_node)
    wait_until(lambda: chosen_panel.ui.applyButton.text == "Apply")
    assert localizer.was_cancelled
    assert chosen_panel.ui.statusLabel.text == "Stopped, because the volume was removed."
    assert not chosen_panel.ui.applyButton.enabled
    assert not lines()


def test_closing_the_scene_stops_the_run_and_the_panel_works_on(
    chosen_panel, start, apply, wait_until, scene
):
    from NeedleLocalizationLib.self_test import add_example_volume

    localizer = start(chosen_panel)
    scene.Clear(0)
    wait_until(lambda: chosen_panel.ui.applyButton.text == "Apply")
    assert localizer.was_cancelled
    assert chosen_panel.ui.statusLabel.text == "Stopped, because the scene was closed."
    assert not lines()
    chosen_panel.ui.volumeSelector.setCurrentNode(add_example_volume("next patient"))
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:1])))
    assert len(cells(chosen_panel)) == 1


def test_needles_of_a_volume_that_changed_meanwhile_are_not_drawn(
    chosen_panel, start, wait_until, volume_node, dialogs
):
    localizer = start(chosen_panel)
    volume_node.SetOrigin(0, 0, 0)
    localizer.go_on.set()
    wait_until(lambda: chosen_panel.ui.applyButton.text == "Apply")
    assert not lines()
    assert "was changed or moved" in dialogs[0]


def test_closing_the_module_stops_the_run(needle_localization, volume_node, start, wait_until):
    widget = needle_localization.open()
    localizer = start(widget)
    needle_localization.close(widget)
    wait_until(lambda: localizer.was_cancelled)
    assert not lines()


# What goes wrong


def test_without_a_volume_apply_is_off_and_says_why(panel):
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Load a CT and choose it."


def test_a_volume_without_image_data_is_refused_in_a_dialog(panel, apply, scene, dialogs):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    panel.ui.volumeSelector.setCurrentNode(empty)
    apply(panel, FailingLocalizer(AssertionError("it was started")))
    assert dialogs == ["empty holds no image data; choose another volume."]
    assert panel.ui.statusLabel.text == dialogs[0]


def test_an_error_of_the_backend_is_shown_in_its_own_words(chosen_panel, apply, scene, dialogs):
    before = scene.GetNumberOfNodes()
    apply(chosen_panel, FailingLocalizer(InputError("CT has 3 slices; at least 8 are needed.")))
    assert dialogs == ["CT has 3 slices; at least 8 are needed."]
    assert scene.GetNumberOfNodes() == before


def test_an_unforeseen_error_is_shown_and_logged(chosen_panel, apply, scene, dialogs, caplog):
    before = scene.GetNumberOfNodes()
    apply(chosen_panel, FailingLocalizer(ZeroDivisionError("division by zero")))
    assert dialogs == ["Needle localization failed: ZeroDivisionError('division by zero')"]
    assert "FailingLocalizer" in caplog.text or "in locate" in caplog.text
    assert scene.GetNumberOfNodes() == before


def test_after_an_error_the_next_run_works(chosen_panel, apply, dialogs):
    apply(chosen_panel, FailingLocalizer(MemoryError()))
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:2])))
    assert len(lines()) == 2


def test_missing_packages_are_named_and_nothing_starts(chosen_panel, dialogs, monkeypatch):
    import slicer.packaging

    monkeypatch.setattr(
        slicer.packaging, "pip_check", lambda requirement: not str(requirement).startswith("t")
    )
    chosen_panel.ui.applyButton.click()
    (text,) = dialogs
    assert "torch>=2.4, torchvision>=0.19, timm" in text
    assert chosen_panel.ui.applyButton.text == "Apply"


# Coming and going


def test_nothing_is_left_observed_after_the_module_is_closed(
    needle_localization, scene, volume_node, apply
):
    logic_node = needle_localization.script.NeedleLocalizationLogic().getParameterNode()
    observed = (scene, logic_node.parameterNode, volume_node)
    before = observer_count(*observed)
    for _ in range(5):
        widget = needle_localization.open()
        apply(widget, QuickLocalizer(result_of(IMPLANT[:3])))
        widget.enter()
        needle_localization.close(widget)
    assert observer_count(*observed) == before
    assert len(lines()) == 3


def test_closing_scenes_again_and_again_leaves_no_observers(panel, scene):
    scene.Clear(0)
    node = panel.logic.getParameterNode().parameterNode
    before = observer_count(scene, node)
    for _ in range(20):
        scene.Clear(0)
    assert observer_count(scene, node) == before


def observer_count(*objects):
    return sum(str(each).count("vtkObserver (") for each in objects)
