"""The module's self test; runs inside Slicer and wherever Slicer's scene runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from needle_backend.core.weights import DEFAULT_US_WEIGHTS, list_weights
from needle_backend.us.tips import DETECTED, LOST
from NeedleLocalizationLib.installation import missing_packages
from NeedleTipUSLib.example_stream import BrightestPixel, add_example_stream, example_frame, send
from NeedleTipUSLib.logic import NeedleTipUSLogic
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.tip_nodes import find_tip_node
from NeedleTipUSLib.tracking import TrackingSettings

DEADLINE_S = 60.0
SIMULATED_FRAMES = 20


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

    def test_a_simulated_puncture_is_looked_at_by_the_backend_process(self) -> None:
        if missing_packages() or DEFAULT_US_WEIGHTS not in [each.name for each in list_weights()]:
            self.delayDisplay("Left out: packages or weights that find tips are not installed")
            return
        from dataclasses import replace

        from needle_backend.us.training.settings import SimulationSettings
        from needle_backend.us.training.simulate import simulate_sequence

        settings = SimulationSettings()
        sequence = replace(settings.sequence, frames=SIMULATED_FRAMES, needle_free_share=0.0)
        simulated = simulate_sequence(replace(settings, sequence=sequence), seed=3)
        volume_node = slicer.util.addVolumeFromArray(simulated.frames[:1], name="simulated")
        logic = self._tracking(volume_node, NeedleTipUSLogic())
        for frame in simulated.frames[1:]:
            self._show(volume_node, frame)
        self.assertEqual(len(self.sightings), SIMULATED_FRAMES)
        logic.stop()

    def _tracking(
        self, volume_node: slicer.vtkMRMLVolumeNode, logic: NeedleTipUSLogic
    ) -> NeedleTipUSLogic:
        """Track, and wait for the image that is there already."""
        logic.start(volume_node, TrackingSettings(), on_sighting=self.sightings.append)
        self._wait(lambda: bool(self.sightings))
        return logic

    def _show(self, volume_node: slicer.vtkMRMLVolumeNode, frame: np.ndarray) -> None:
        """Show an image and wait until it was looked at."""
        count = len(self.sightings)
        send(volume_node, frame)
        self._wait(lambda: len(self.sightings) > count)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition() and time.monotonic() < deadline_s:
            slicer.app.processEvents()
        self.assertTrue(condition())
