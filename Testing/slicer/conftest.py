"""Starts Slicer's scene and stand-ins once, and loads the modules for the tests that ask."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slicer_harness.boot import boot

try:
    slicer = boot()
except FileNotFoundError as error:
    raise pytest.UsageError(str(error)) from error
except ImportError as error:
    raise pytest.UsageError(
        f"Slicer's core or Qt does not load ({error}); "
        "`python3 tools/check_system.py test` names the system packages that are missing."
    ) from error

from slicer_harness.modules import LoadedModule, load_module
from slicer_harness.needle_localization import SlowLocalizer

ROOT = Path(__file__).parents[2]
PICTURES = "NEEDLEGUIDE_PICTURES"
"""Environment variable: the folder to keep the tests' pictures in."""


@pytest.fixture(scope="session")
def needle_localization() -> LoadedModule:
    return load_module(ROOT / "NeedleLocalization" / "NeedleLocalization.py")


@pytest.fixture(scope="session")
def needle_tip_us() -> LoadedModule:
    return load_module(ROOT / "NeedleTipUS" / "NeedleTipUS.py")


@pytest.fixture
def scene() -> Iterator[Any]:
    slicer.mrmlScene.Clear(0)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def dialogs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the texts of error dialogs."""
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: shown.append(text))
    return shown


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Let Qt work until a condition holds."""

    def wait(condition: Callable[[], bool], timeout_s: float = 90.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, "it did not happen in time"
            slicer.app.processEvents()

    return wait


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get(PICTURES, tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
        panel.logic.use(localizer)
        panel.ui.applyButton.click()
        wait_until(lambda: panel.ui.applyButton.text == "Apply")

    return click_and_wait


@pytest.fixture
def start(wait_until):
    """Click Apply with a localizer that takes its time; return it once it works."""

    def click(panel, localizer=None):
        localizer = localizer or SlowLocalizer()
        panel.logic.use(localizer)
        panel.ui.applyButton.click()
        wait_until(lambda: "Looking for tips and handles" in panel.ui.statusLabel.text)
        return localizer

    return click
