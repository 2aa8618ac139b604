"""The module's self test; runs inside Slicer and wherever Slicer's scene runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from needle_backend.core.weights import DEFAULT_US_WEIGHTS, list_weights
from needle_backend.us.tips import DETECTED, LOST
from NeedleLocalizationLib.installation import missing_packages
from NeedleTipUSLib.example_stream import BrightestPixel, add_example_stream, example_frame, send
from NeedleTipUSLib.logic import NeedleTipUSLogic
from NeedleTipUSLib.sample_data import TRUTH, load_sample_recording
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.tip_nodes import find_tip_node
from NeedleTipUSLib.tracking import TrackingSettings

DEADLINE_S = 60.0
NEAR_PX, FOUND_SHARE = 10.0, 0.5


class NeedleTipUSTest(ScriptedLoadableModuleTest):
    """Runs the logic from a stream to the tip in the scene."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.sightings: list[Sighting] = []

    def test_the_tip_of_a_stream_is_a_point_in_the_scene(self) -> None:
        volume_node, backend = add_example_stream(), BrightestPixel()
        logic = self._tracking(volume_node, NeedleTipUSLogic(lambda: backend))
        for number in range(3):
            self._show(volume_node, example_frame((60 + number, 40), seed=number))
        self.assertEqual(self.sightings[-1].answer.state, DETECTED)
        tip = find_tip_node().GetNthControlPointPositionWorld(0)
        np.testing.assert_allclose([*tip], (40 - 31.0, 30 - 20.0, 5.0), atol=1.0)
        logic.stop()
        self.assertEqual(find_tip_node().GetNumberOfDefinedControlPoints(), 0)

    def test_a_tip_that_is_not_seen_is_lost(self) -> None:
        volume_node, backend = add_example_stream(), BrightestPixel()
        logic = self._tracking(volume_node, NeedleTipUSLogic(lambda: backend))
        self._show(volume_node, example_frame(None, seed=5))
        self.assertEqual(self.sightings[-1].answer.state, LOST)
        logic.stop()

    def test_the_tip_of_the_sample_recording_is_found_by_the_backend_process(self) -> None:
        if missing_packages() or DEFAULT_US_WEIGHTS not in [each.name for each in list_weights()]:
            self.delayDisplay("Left out: packages or weights that find tips are not installed")
            return
        browser = load_sample_recording()
        volume_node = browser.GetProxyNode(browser.GetMasterSequenceNode())
        browser.SetSelectedItemNumber(0)
        logic = self._tracking(volume_node, NeedleTipUSLogic())
        for number in range(1, browser.GetNumberOfItems()):
            self._wait_for_next(partial(browser.SetSelectedItemNumber, number))
        logic.stop()
        frames = json.loads(TRUTH.read_text(encoding="utf-8"))["frames"]
        self.assertEqual(len(self.sightings), len(frames))
        apart_px = [
            np.hypot(seen.answer.tip.x - frame["tip"][0], seen.answer.tip.y - frame["tip"][1])
            for seen, frame in zip(self.sightings, frames, strict=True)
            if frame["visible"] and seen.answer.tip is not None
        ]
        visible = sum(frame["visible"] for frame in frames)
        self.assertGreater(np.sum(np.array(apart_px) < NEAR_PX), FOUND_SHARE * visible)

    def _tracking(
        self, volume_node: slicer.vtkMRMLVolumeNode, logic: NeedleTipUSLogic
    ) -> NeedleTipUSLogic:
        """Track, and wait for the image that is there already."""
        logic.start(volume_node, TrackingSettings(), on_sighting=self.sightings.append)
        self._wait(lambda: bool(self.sightings))
        return logic

    def _show(self, volume_node: slicer.vtkMRMLVolumeNode, frame: np.ndarray) -> None:
        """Show an image and wait until it was looked at."""
        self._wait_for_next(partial(send, volume_node, frame))

    def _wait_for_next(self, show: Callable[[], None]) -> None:
        """Show an image, however, and wait until it was looked at."""
        count = len(self.sightings)
        show()
        self._wait(lambda: len(self.sightings) > count)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition() and time.monotonic() < deadline_s:
            slicer.app.processEvents()
        self.assertTrue(condition())
