"""The panel of NeedleTipUS with a stream, and a backend process that finds bright spots."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import slicer

from needle_backend.service.client import SERVER, BackendClient
from needle_backend.us.tips import YOLOT
from needle_backend.us.track import ASSOCIATION_OF, Association
from slicer_harness.live_tip import LOST, PREDICTED_S

TESTING = Path(__file__).parents[2]


@pytest.fixture
def spot_work(monkeypatch, needle_tip_us):
    """Let the backend process run with work that takes bright spots for the tip."""
    from NeedleLocalizationLib import session_process

    server = (*SERVER, "--work", "slicer_harness.needle_tip_us:SpotWork")
    monkeypatch.setattr(session_process, "BackendClient", partial(BackendClient, server=server))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTING), str(TESTING.parent)]))
    yield
    session_process.end_session_process()


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch, needle_tip_us):
    """Let images come as slowly as a busy machine shows them."""
    from NeedleTipUSLib import tracking

    slow = Association(longest_prediction_s=PREDICTED_S, still_at_most_s=60.0)
    monkeypatch.setitem(ASSOCIATION_OF, YOLOT, slow)
    monkeypatch.setattr(tracking, "STALLED_S", 10.0)


@pytest.fixture
def panel(spot_work, needle_tip_us, scene):
    widget = needle_tip_us.open()
    widget.ui.budgetSpinBox.value = 10_000
    yield widget
    needle_tip_us.close(widget)


@pytest.fixture(autouse=True)
def red_view(scene):
    """The nodes of the red slice view, as Slicer's window makes them."""
    made = []
    for node in (slicer.vtkMRMLSliceNode(), slicer.vtkMRMLSliceCompositeNode()):
        node.SetSingletonTag("Red")
        node.SetLayoutName("Red")
        made.append(scene.AddNode(node))
    yield made
    for node in made:
        scene.RemoveNode(node)


@pytest.fixture
def stream(scene, needle_tip_us):
    from NeedleTipUSLib.example_stream import add_example_stream

    return add_example_stream()


@pytest.fixture
def show(wait_until):
    """Show an image, its spot at a place; wait until the panel has taken its answer."""

    def show_and_wait(panel, stream, tip_xy, frame=None):
        from NeedleTipUSLib.example_stream import example_frame, send

        statistics = panel.logic.tracking.statistics
        count = statistics.answered
        send(stream, example_frame(tip_xy) if frame is None else frame)
        wait_until(lambda: panel.logic.tracking is None or statistics.answered > count)

    return show_and_wait


@pytest.fixture
def running(panel, stream, wait_until):
    """The panel, tracking the stream, whose first image was looked at."""
    panel.ui.volumeSelector.setCurrentNode(stream)
    # YOLOT's tips are predicted for longer, so that a slow machine has the time to look.
    panel.ui.modelComboBox.currentIndex = 0
    panel.ui.startButton.click()
    wait_until(lambda: panel.ui.stateLabel.text == LOST)
    return panel
