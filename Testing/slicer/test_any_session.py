"""Whatever a reviewer does in whatever order: scene, table and history agree, and all is undone."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from slicer_harness.needle_localization import (
    DOUBTED,
    QuickLocalizer,
    assert_scene_and_table_agree,
    lines,
    result_of,
)

FOUND = result_of(
    DOUBTED[:6],
    unmatched_tips=((20.0, 25.0, 6.0), (40.0, 25.0, 6.0)),
    unmatched_handles=((21.0, 24.0, -178.0),),
)
SHOWN, LOCKED = 5, 6
any_row = st.integers(0, 9)
shift_mm = st.tuples(*3 * [st.floats(-30.0, 30.0)])


class AnySession(RuleBasedStateMachine):
    """Does what users do, and remembers what there was after each step."""

    module = None

    @initialize()
    def find_needles(self) -> None:
        from NeedleLocalizationLib.self_test import add_example_volume

        slicer.mrmlScene.Clear(0)
        add_example_volume()
        self.panel = self.module.open()
        self.panel.logic.use(QuickLocalizer(FOUND))
        self.panel.ui.applyButton.click()
        while self.panel.ui.applyButton.text != "Apply":
            slicer.app.processEvents()
        self.past, self.future = [self.implant], []

    @property
    def implant(self):
        return self.panel._review._review.implant

    def settle(self) -> None:
        """Let Qt work until nothing is under way; remember what came of it."""
        slicer.app.processEvents()
        while self.panel.logic.backend()._jobs:
            slicer.app.processEvents()
        slicer.app.processEvents()
        if self.implant != self.past[-1]:
            self.past.append(self.implant)
            self.future.clear()

    def choose(self, row: int) -> bool:
        table = self.panel.ui.needleTable
        if table.rowCount == 0:
            return False
        table.setCurrentCell(row % table.rowCount, 0)
        return True

    @rule(
        row=any_row,
        button=st.sampled_from(["accept", "reject", "edit", "swap", "delete", "next", "previous"]),
    )
    def press_on_a_needle(self, row: int, button: str) -> None:
        if self.choose(row):
            getattr(self.panel.ui, f"{button}Button").click()
            self.settle()

    @rule(button=st.sampled_from(["acceptAll", "renumber"]))
    def press(self, button: str) -> None:
        getattr(self.panel.ui, f"{button}Button").click()
        self.settle()

    @rule(row=any_row, column=st.sampled_from([SHOWN, LOCKED]))
    def tick_a_box(self, row: int, column: int) -> None:
        table = self.panel.ui.needleTable
        if table.rowCount:
            table.cellClicked.emit(row % table.rowCount, column)
            self.settle()

    @rule(tip=shift_mm, handle=shift_mm)
    def place_a_needle(self, tip, handle) -> None:
        self.panel._review._drawing._add(tip, tuple(np.add(handle, (0.0, 0.0, -150.0)).tolist()))
        self.settle()

    @precondition(lambda self: self.panel.ui.pairButton.enabled)
    @rule()
    def pair_ends(self) -> None:
        self.panel.ui.pairButton.click()
        self.settle()

    @precondition(lambda self: lines())
    @rule(row=any_row, end=st.integers(0, 1), by=shift_mm)
    def move_an_end_in_slicer(self, row: int, end: int, by) -> None:
        line = lines()[row % len(lines())]
        point = np.add(line.GetNthControlPointPosition(end), by)
        line.SetNthControlPointPosition(end, *point)
        self.settle()

    @precondition(lambda self: lines())
    @rule(row=any_row, how=st.sampled_from(["remove", "hide", "rename"]))
    def change_a_line_in_slicer(self, row: int, how: str) -> None:
        line = lines()[row % len(lines())]
        if how == "remove":
            slicer.mrmlScene.RemoveNode(line)
        elif how == "hide":
            line.GetDisplayNode().SetVisibility(False)
        else:
            line.SetName(f"N{50 + len(self.past)}")
        self.settle()

    @precondition(lambda self: len(self.past) > 1)
    @rule()
    def undo(self) -> None:
        self.panel.ui.undoButton.click()
        self.future.append(self.past.pop())
        self.settle()

    @precondition(lambda self: self.future)
    @rule()
    def redo(self) -> None:
        self.panel.ui.redoButton.click()
        self.past.append(self.future.pop())
        self.settle()

    @invariant()
    def all_agree(self) -> None:
        if hasattr(self, "panel"):
            assert_scene_and_table_agree(self.panel)
            assert self.implant == self.past[-1]

    def teardown(self) -> None:
        if hasattr(self, "panel"):
            while len(self.past) > 1:
                self.undo()
            assert self.implant == self.past[0]
            self.all_agree()
            self.module.close(self.panel)
            slicer.mrmlScene.Clear(0)


@pytest.mark.slow
def test_after_any_actions_all_agree_and_everything_can_be_undone(needle_localization):
    AnySession.module = needle_localization
    run_state_machine_as_test(
        AnySession,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            # Searching for the shortest session that fails would take many minutes.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_fifty_steps_and_a_delete_are_taken_back_and_done_again(chosen_panel, apply):
    apply(chosen_panel, QuickLocalizer(FOUND))
    ui = chosen_panel.ui
    found = chosen_panel._review._review.implant
    for step in range(50):
        ui.needleTable.cellClicked.emit(step % 6, SHOWN)
    ui.needleTable.setCurrentCell(2, 0)
    ui.deleteButton.click()
    changed = chosen_panel._review._review.implant
    assert len(lines()) == 5
    for _ in range(51):
        ui.undoButton.click()
    assert chosen_panel._review._review.implant == found
    assert_scene_and_table_agree(chosen_panel)
    while ui.redoButton.enabled:
        ui.redoButton.click()
    assert chosen_panel._review._review.implant == changed
    assert_scene_and_table_agree(chosen_panel)
