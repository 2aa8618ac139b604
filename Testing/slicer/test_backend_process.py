"""The panel works through the backend process: found, started, cancelled, lost and ended."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import psutil
import pytest
import slicer

from needle_backend.service.client import SERVER, BackendClient
from slicer_harness.needle_localization import assert_scene_and_table_agree, cells, lines, select
from slicer_harness.scene_files import load_mrb, save_mrb

TESTING = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _fake_work(monkeypatch, needle_localization):
    """Let the process run with fake work, which does what the volume's name says."""
    from NeedleLocalizationLib import session_process

    server = (*SERVER, "--work", "service.fake_work:FakeWork")
    monkeypatch.setattr(session_process, "BackendClient", partial(BackendClient, server=server))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTING), str(TESTING.parent)]))


@pytest.fixture
def run_on(chosen_panel, volume_node, wait_until):
    """Click Apply on a volume that tells the fake work how to behave; wait for the end."""

    def click_and_wait(name):
        volume_node.SetName(name)
        chosen_panel.ui.applyButton.click()
        wait_until(lambda: chosen_panel.ui.applyButton.text == "Apply")
        return chosen_panel.ui.statusLabel.text

    return click_and_wait


def processes():
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
        and "needle_backend.service.server" in child.cmdline()
    ]


def test_needles_are_found_by_a_process_of_slicers_python(run_on):
    assert run_on("CT").startswith("1 needles found")
    assert len(lines()) == 1
    commands = [process.cmdline() for process in processes()]
    assert any(f"{slicer.app.slicerHome}/bin/PythonSlicer" in command for command in commands)


def test_the_same_process_serves_the_next_run(run_on):
    run_on("CT")
    first = {process.pid for process in processes()}
    run_on("CT")
    assert {process.pid for process in processes()} == first


def test_a_process_that_dies_is_told_plainly_and_the_next_run_works(run_on, dialogs):
    text = run_on("die in network")
    assert text.startswith("The backend stopped unexpectedly.")
    assert text.endswith("Nothing was changed; try again, a new one starts.")
    assert dialogs == [text]
    assert not lines()
    assert run_on("CT").startswith("1 needles found")


def test_a_full_memory_is_told_plainly(run_on, dialogs):
    assert "memory of the computing device is full" in run_on("full in network")


@pytest.mark.parametrize("behaviour", ["sleep", "hang"])
def test_cancel_ends_a_run_whatever_the_process_does(
    behaviour, chosen_panel, volume_node, wait_until, scene
):
    before = scene.GetNumberOfNodes()
    volume_node.SetName(f"{behaviour} in network")
    chosen_panel.ui.applyButton.click()
    wait_until(lambda: "Looking for tips and handles" in chosen_panel.ui.statusLabel.text)
    chosen_panel.ui.applyButton.click()
    wait_until(lambda: chosen_panel.ui.applyButton.text == "Apply")
    assert chosen_panel.ui.statusLabel.text == "Cancelled."
    assert scene.GetNumberOfNodes() == before


def test_closing_the_module_ends_the_process(needle_localization, volume_node, wait_until):
    widget = needle_localization.open()
    volume_node.SetName("hang in network")
    widget.ui.applyButton.click()
    wait_until(lambda: "Looking for tips and handles" in widget.ui.statusLabel.text)
    assert processes()
    needle_localization.close(widget)
    wait_until(lambda: not processes())


def test_the_process_ends_with_slicer(volume_node, needle_localization, wait_until):
    from needle_backend.core.needles import LocateOptions
    from NeedleLocalizationLib.logic import NeedleLocalizationLogic

    NeedleLocalizationLogic().locate(volume_node, LocateOptions())
    assert processes()
    slicer.app.aboutToQuit.emit()
    wait_until(lambda: not processes())


def test_a_missing_interpreter_is_told_plainly(run_on, dialogs, monkeypatch, tmp_path):
    monkeypatch.setattr(type(slicer.app), "slicerHome", str(tmp_path))
    assert run_on("CT").startswith("Slicer's Python interpreter is missing")
    assert len(dialogs) == 1


def test_a_needle_of_a_reopened_scene_is_scored_by_the_process(
    chosen_panel, run_on, wait_until, scene, tmp_path
):
    run_on("CT")
    save_mrb(scene, tmp_path / "case.mrb")
    chosen_panel.logic.close()
    scene.Clear(0)
    load_mrb(scene, tmp_path / "case.mrb", tmp_path / "unpacked")
    wait_until(lambda: len(cells(chosen_panel)) == 1)
    select(chosen_panel, "N01")
    chosen_panel.ui.swapButton.click()
    (line,) = lines()
    wait_until(lambda: float(line.GetAttribute("NeedleGuide.score")) != 0.0)
    assert_scene_and_table_agree(chosen_panel)


def test_without_a_process_a_needle_can_be_edited_all_the_same(
    chosen_panel, run_on, monkeypatch, tmp_path
):
    run_on("CT")
    chosen_panel.logic.close()
    monkeypatch.setattr(type(slicer.app), "slicerHome", str(tmp_path))
    select(chosen_panel, "N01")
    chosen_panel.ui.swapButton.click()
    assert cells(chosen_panel)[0][4] == "edited"
    assert chosen_panel.ui.statusLabel.text.startswith("Slicer's Python interpreter is missing")


def test_after_installing_what_was_missing_a_new_process_works(run_on, dialogs, monkeypatch):
    import slicer.packaging

    from NeedleLocalizationLib.session_process import session_client

    installed = set()
    monkeypatch.setattr(slicer.packaging, "pip_check", lambda wanted: str(wanted) in installed)
    assert "packages that are not installed: torch" in run_on("CT")
    assert not lines()
    session_client().start()  # as another module may have done
    without_packages = {process.pid for process in processes()}
    assert without_packages

    def install():
        from NeedleLocalizationLib.installation import missing_packages

        installed.update(missing_packages())

    monkeypatch.setattr("NeedleLocalizationLib.installation.require_backend_packages", install)
    assert run_on("CT").startswith("1 needles found")
    assert without_packages.isdisjoint(process.pid for process in processes())
    assert len(dialogs) == 1
