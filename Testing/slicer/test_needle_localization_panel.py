"""The NeedleLocalization panel as a user works it: Apply, Cancel, the table, what goes wrong."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import qt
import slicer

from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateResult, Needle, NeedleCount

IMPLANT = tuple(
    Needle(
        tip_lps=(-35.0 + 10 * (i % 8), -30.0 + 12 * (i // 8), 5.0 + i % 3),
        handle_lps=(-36.0 + 10.4 * (i % 8), -31.0 + 12.4 * (i // 8), -178.0 - i % 5),
        score=30.0 - i,
        confidence=0.99 - 0.01 * i,
        id=f"N{i + 1:02d}",
    )
    for i in range(16)
)
DOUBTS = {
    4: ("a neighbour's axis is 2.1 mm away over 60 mm",),
    9: ("the shaft fades below 100 HU for 35 mm", "length 141 mm, others 187 mm"),
    12: ("the tip was seen on one slice only",),
}
DOUBTED = tuple(
    replace(needle, doubts=DOUBTS[i], confidence=0.7 - 0.05 * i) if i in DOUBTS else needle
    for i, needle in enumerate(IMPLANT)
)


@dataclass
class SlowLocalizer:
    """Works until it is let go or cancelled; then returns what it was given."""

    result: LocateResult = field(
        default_factory=lambda: LocateResult(IMPLANT[:2], NeedleCount(2, True))
    )
    go_on: threading.Event = field(default_factory=threading.Event)
    was_cancelled: bool = False

    def locate(self, volume, options, progress, cancel):
        progress("network", 0.5)
        while not self.go_on.wait(0.01):
            self.was_cancelled = cancel.is_cancelled
            cancel.raise_if_cancelled()
        return self.result


@dataclass
class BusyLocalizer(SlowLocalizer):
    """Keeps Python itself busy, without ever waiting."""

    def locate(self, volume, options, progress, cancel):
        progress("network", 0.5)
        while not self.go_on.is_set():
            cancel.raise_if_cancelled()
        return self.result


@dataclass
class FailingLocalizer:
    error: Exception

    def locate(self, volume, options, progress, cancel):
        raise self.error


@dataclass
class QuickLocalizer:
    result: LocateResult

    def locate(self, volume, options, progress, cancel):
        return self.result


@pytest.fixture
def panel(needle_localization, scene):
    widget = needle_localization.open()
    yield widget
    needle_localization.close(widget)


@pytest.fixture
def volume_node(scene, needle_localization):
    from NeedleLocalizationLib.self_test import add_example_volume

    return add_example_volume()


@pytest.fixture
def chosen_panel(volume_node, panel):
    """The panel, opened on a scene with one volume, which it has chosen."""
    assert panel.ui.volumeSelector.currentNode() is volume_node
    return panel


@pytest.fixture
def apply(wait_until):
    """Click Apply and wait until the run has ended."""

    def click_and_wait(panel, localizer):
        panel.logic.localizer = localizer
        panel.ui.applyButton.click()
        wait_until(lambda: panel.ui.applyButton.text == "Apply")

    return click_and_wait


@pytest.fixture
def start(wait_until):
    """Click Apply with a localizer that takes its time; return it once it works."""

    def click(panel, localizer=None):
        localizer = localizer or SlowLocalizer()
        panel.logic.localizer = localizer
        panel.ui.applyButton.click()
        wait_until(lambda: "Looking for tips and handles" in panel.ui.statusLabel.text)
        return localizer

    return click


def lines():
    return slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


def cells(panel):
    table = panel.ui.needleTable
    return [
        [table.item(row, column).text() for column in range(table.columnCount)]
        for row in range(table.rowCount)
    ]


def observer_count(*objects):
    return sum(str(each).count("vtkObserver (") for each in objects)


def result_of(needles, **details):
    return LocateResult(needles, NeedleCount(len(needles), estimated=True), **details)


# What is found


def test_apply_draws_the_needles_and_lists_them(chosen_panel, apply, pictures):
    result = result_of(DOUBTED, unmatched_tips=((1.0, 2.0, 3.0),), warnings=("CT read as it is.",))
    apply(chosen_panel, QuickLocalizer(result))
    assert [node.GetName() for node in lines()] == [needle.id for needle in DOUBTED]
    assert len(cells(chosen_panel)) == 16
    status = chosen_panel.ui.statusLabel.text
    assert "16 needles found; their number was estimated." in status
    assert "To check: 3, listed first." in status
    assert "Ends without a partner: 1 tips, 0 handles." in status
    assert "CT read as it is." in status
    save_picture(chosen_panel, pictures / "needle_localization.png")


def test_the_doubtful_needles_come_first_with_their_reasons(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    rows = cells(chosen_panel)
    assert [row[0] for row in rows[:4]] == ["N13", "N10", "N05", "N16"]
    assert rows[0][2:] == ["10 %", "the tip was seen on one slice only"]
    assert rows[1][3] == "the shaft fades below 100 HU for 35 mm\nlength 141 mm, others 187 mm"
    assert all(row[3] == "" for row in rows[3:])


def test_an_unknown_confidence_is_not_made_up(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of((replace(IMPLANT[0], confidence=None),))))
    assert cells(chosen_panel)[0][2] == "–"


def test_a_row_shows_the_length_and_the_colour_of_its_line(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:1])))
    (line,) = lines()
    assert cells(chosen_panel)[0][1] == f"{line.GetLineLengthWorld():.1f} mm"
    swatch = chosen_panel.ui.needleTable.item(0, 0).data(qt.Qt.DecorationRole)
    colour = line.GetDisplayNode().GetSelectedColor()
    np.testing.assert_allclose(swatch.getRgbF()[:3], colour, atol=1 / 255)


def test_no_needles_is_said_plainly(chosen_panel, apply, dialogs):
    apply(chosen_panel, QuickLocalizer(result_of(())))
    assert chosen_panel.ui.statusLabel.text.startswith("0 needles found")
    assert not lines()
    assert not dialogs


def test_fewer_than_asked_for_is_said_plainly(chosen_panel, apply):
    result = LocateResult(IMPLANT[:2], NeedleCount(5, estimated=False))
    apply(chosen_panel, QuickLocalizer(result))
    assert chosen_panel.ui.statusLabel.text == "2 of 5 needles found."


def test_what_the_user_chooses_reaches_the_localizer(chosen_panel, apply):
    from NeedleLocalizationLib.self_test import GivenNeedles

    localizer = GivenNeedles()
    chosen_panel.ui.needleCountSpinBox.value = 17
    chosen_panel.ui.lengthSpinBox.value = 150
    chosen_panel.ui.toleranceSpinBox.value = 20
    chosen_panel.ui.deviceComboBox.currentIndex = 1
    apply(chosen_panel, localizer)
    ((_volume, options),) = localizer.asked
    assert (options.count, options.length_mm, options.length_tolerance_mm) == (17, 150.0, 20.0)
    assert options.device == "cpu"


def test_the_count_is_automatic_until_one_is_given(chosen_panel, apply):
    from NeedleLocalizationLib.self_test import GivenNeedles

    localizer = GivenNeedles()
    assert chosen_panel.ui.needleCountSpinBox.text == "automatic (estimated)"
    apply(chosen_panel, localizer)
    assert localizer.asked[0][1].count is None


# The table and the views


def test_selecting_a_row_jumps_to_that_needles_tip(chosen_panel, apply, scene):
    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    red = scene.AddNode(slicer.vtkMRMLSliceNode())
    chosen_panel.ui.needleTable.selectRow(1)
    centre = [red.GetSliceToRAS().GetElement(i, 3) for i in range(3)]
    x, y, z = DOUBTED[9].tip_lps
    np.testing.assert_allclose(centre, (-x, -y, z), atol=1e-6)


def test_the_table_follows_needles_that_are_moved_or_removed(
    chosen_panel, apply, wait_until, scene
):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    first = lines()[0]
    scene.RemoveNode(lines()[2])
    first.SetNthControlPointPositionWorld(0, first.GetNthControlPointPositionWorld(1))
    wait_until(lambda: len(cells(chosen_panel)) == 2)
    assert "0.0 mm" in [row[1] for row in cells(chosen_panel)]


def test_the_selection_stays_with_its_needle_when_the_table_changes(
    chosen_panel, apply, wait_until, scene
):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    names = [row[0] for row in cells(chosen_panel)]
    chosen_panel.ui.needleTable.selectRow(2)
    scene.RemoveNode(slicer.util.getNode(names[0]))
    wait_until(lambda: len(cells(chosen_panel)) == 2)
    (row,) = {item.row() for item in chosen_panel.ui.needleTable.selectedItems()}
    assert cells(chosen_panel)[row][0] == names[2]


def test_numbers_in_the_views_can_be_hidden(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:2])))
    chosen_panel.ui.numbersCheckBox.checked = False
    assert not any(node.GetDisplayNode().GetPropertiesLabelVisibility() for node in lines())
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:2])))
    assert not any(node.GetDisplayNode().GetPropertiesLabelVisibility() for node in lines())


def test_each_volume_shows_its_own_needles(chosen_panel, apply, wait_until, volume_node):
    from NeedleLocalizationLib.self_test import add_example_volume

    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:3])))
    chosen_panel.ui.volumeSelector.setCurrentNode(add_example_volume("second CT"))
    wait_until(lambda: cells(chosen_panel) == [])
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT[:1])))
    assert len(lines()) == 4
    chosen_panel.ui.volumeSelector.setCurrentNode(volume_node)
    wait_until(lambda: len(cells(chosen_panel)) == 3)


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


def test_the_choices_are_kept_with_the_scene(panel, volume_node, scene, tmp_path):
    from slicer_harness.scene_files import load_mrb, save_mrb

    panel.ui.volumeSelector.setCurrentNode(volume_node)
    panel.ui.needleCountSpinBox.value = 12
    panel.ui.deviceComboBox.currentIndex = 1
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    assert panel.ui.needleCountSpinBox.value == 0
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    assert panel.ui.needleCountSpinBox.value == 12
    assert panel.ui.deviceComboBox.currentText == "cpu"
    assert panel.ui.volumeSelector.currentNode().GetName() == "CT"


def test_opening_a_saved_scene_lists_its_needles(chosen_panel, apply, wait_until, scene, tmp_path):
    from slicer_harness.scene_files import load_mrb, save_mrb

    apply(chosen_panel, QuickLocalizer(result_of(DOUBTED)))
    listed = cells(chosen_panel)
    save_mrb(scene, tmp_path / "case.mrb")
    scene.Clear(0)
    assert cells(chosen_panel) == []
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(chosen_panel)) == 16)
    assert cells(chosen_panel) == listed


def test_the_help_says_what_was_never_tested(needle_localization):
    text = needle_localization.parent.helpText
    for honest in ("simulated CT only", "no clinical case has been tested", "not a medical device"):
        assert honest in text


def save_picture(panel, path):
    """Save the panel as the screen would show it; fail on a blank picture."""
    panel.parent.resize(440, 760)
    panel.parent.show()
    slicer.app.processEvents()
    image = panel.parent.grab().toImage()
    colours = {image.pixel(x, y) for x in range(0, 440, 3) for y in range(0, 760, 3)}
    assert len(colours) > 20
    assert image.save(str(path))
