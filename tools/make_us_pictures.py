"""Make the pictures of the ultrasound tutorial: ``make pictures``, or this file.

The stream is two simulated punctures, one after the other; the tips are those that the shipped
weights find. Panel and view are drawn as ``make_pictures`` does it. The contact sheet shows the
sample recording as ``needles track --overlay`` draws it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from make_pictures import (
    PANEL_PX,
    ROOT,
    TUTORIAL,
    beside,
    save,
    slicer,
    stacked,
    wait_until,
    with_bar,
)

import cv2  # isort: skip
import numpy as np  # isort: skip
import qt  # isort: skip

from slicer_harness.modules import LoadedModule, load_module  # isort: skip
from slicer_harness.slice_view import SliceView  # isort: skip

if TYPE_CHECKING:
    from needle_backend.us.tips import FrameAnswer

SAMPLE = ROOT / "Resources" / "Sample" / "sample_us.seq.nrrd"
THUMBNAIL = ROOT / "NeedleTipUS" / "Resources" / "Icons" / "NeedleTipUSSample.png"
THUMBNAIL_PX = 260
SHOWN_PX = 380
CLIP = (0, 6, 8, 14, 20, 28, 36, 44)
"""Images of the sample recording."""
CLIP_WIDTH_PX = 1400
SEEDS = (20, 27)
FRAMES = 75
"""Of each puncture."""
VIEW_PX = 640
MARGIN_PX = 70
MM_PX = 0.08
SETTLING = 8
FRAME_S = 1 / 30
STATES = {"seen": "tip seen", "predicted": "tip not seen", "lost": "TIP LOST"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="", help="instead of the shipped ones")
    arguments = parser.parse_args()
    module = load_module(ROOT / "NeedleTipUS" / "NeedleTipUS.py")
    stage = Stage(
        module, np.concatenate([simulated_puncture(seed) for seed in SEEDS]), arguments.weights
    )
    stage.play()
    stage.close()
    draw_sample(arguments.weights)


def simulated_puncture(seed: int) -> np.ndarray:
    """Return the frames of a puncture, uint8 [frame, row, column]."""
    from needle_backend.us.training.settings import SimulationSettings
    from needle_backend.us.training.simulate import simulate_sequence

    settings = SimulationSettings()
    sequence = replace(settings.sequence, frames=FRAMES, needle_free_share=0.0)
    return simulate_sequence(replace(settings, sequence=sequence), seed).frames


def draw_sample(weights: str) -> None:
    """Draw some images of the sample recording, and one of them as the sample's own picture."""
    from needle_backend.us.frames import open_frames
    from needle_backend.us.overlay import draw_answer

    found = list(zip(open_frames(SAMPLE), answers_of_sample(weights), strict=True))
    drawn = []
    for number in CLIP:
        frame, answer = found[number]
        # Twice as large, for the writing; the middle of a pixel is then that of four.
        larger = cv2.resize(frame.image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        if answer.tip is not None:
            x, y = 2 * answer.tip.x + 0.5, 2 * answer.tip.y + 0.5
            size = {"width": 2 * answer.tip.width, "height": 2 * answer.tip.height}
            answer = replace(answer, tip=replace(answer.tip, x=x, y=y, **size))
        drawn.append(as_image(draw_answer(larger, answer)))
    half = len(drawn) // 2
    sheet = stacked(beside(*drawn[:half]), beside(*drawn[half:]))
    save(sheet.scaledToWidth(CLIP_WIDTH_PX, qt.Qt.SmoothTransformation), TUTORIAL / "us_clip.jpg")
    tip = found[CLIP[-1]][1].tip
    left, top = round(2 * tip.x) - SHOWN_PX // 4, round(2 * tip.y) - SHOWN_PX * 3 // 4
    cut = drawn[-1].copy(left, top, SHOWN_PX, SHOWN_PX)
    save(cut.scaledToWidth(THUMBNAIL_PX, qt.Qt.SmoothTransformation), THUMBNAIL)


def answers_of_sample(weights: str) -> tuple[FrameAnswer, ...]:
    """Return what ``needles track`` answers.

    It works in a process of its own, as everything of torch does: the drawing of the views and
    torch's compiler bring the same library in two versions, and one process cannot hold both.
    """
    from needle_backend.us.track_table import read_tips

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "tips.csv")
        needles = Path(sys.executable).with_name("needles")
        chosen = ["--weights", weights] if weights else []
        command = [needles, "track", SAMPLE, "--output", table, *chosen]
        subprocess.run(command, check=True)
        return read_tips(table)


def as_image(pixels: np.ndarray) -> Any:
    """Return blue, green and red pixels [row, column, channel] as Qt holds them."""
    rows, columns = pixels.shape[:2]
    return qt.QImage(pixels.tobytes(), columns, rows, 3 * columns, qt.QImage.Format_BGR888).copy()


class Stage:
    """The module's panel beside the view that shows the stream."""

    def __init__(self, module: LoadedModule, frames: np.ndarray, weights: str) -> None:
        from NeedleTipUSLib import tracking

        tracking.STALLED_S = 60.0  # to draw a picture takes longer than a stream may pause
        self._module = module
        self._frames = frames
        rows, columns = frames.shape[1:]
        ijk_to_ras = np.diag([-MM_PX, -MM_PX, 1.0, 1.0])
        ijk_to_ras[:2, 3] = MM_PX * columns / 2, MM_PX * rows / 2
        self._stream = slicer.util.addVolumeFromArray(
            frames[:1], ijkToRAS=ijk_to_ras, name="Image_Probe"
        )
        self._view = SliceView("Red", "Axial", self._stream, VIEW_PX)
        self._panel = module.open()
        self._panel.parent.show()
        self._panel.ui.weightsLineEdit.text = weights
        self._panel.ui.volumeSelector.setCurrentNode(self._stream)
        self._add_target()

    def _add_target(self) -> None:
        target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "target")
        target.AddControlPointWorld(-4.0, -8.0, 0.0)
        self._panel.ui.targetSelector.setCurrentNode(target)

    def play(self) -> None:
        """Show the stream as fast as a scanner does, and take a picture of every state.

        Taking one is a pause in the stream, so the next is taken some images later.
        """
        ui = self._panel.ui
        ui.startButton.click()
        wait_until(lambda: ui.stateLabel.text != "starting…")
        taken: dict[str, Any] = {}
        earliest = FRAMES // 2
        for number, frame in enumerate(self._frames):
            self._show(frame)
            words = ui.stateLabel.text
            state = next(name for name, start in STATES.items() if words.startswith(start))
            is_settled = number > max(earliest, FRAMES if state == "lost" else 0)
            if not is_settled or state in taken or "latency" not in ui.statisticsLabel.text:
                continue
            earliest = number + SETTLING
            taken[state] = self._view_image()
            if state == "seen":
                taken["panel"] = self._everything(taken[state])
        save(taken["panel"], TUTORIAL / "us_panel.jpg")
        save(beside(*(taken[state] for state in STATES)), TUTORIAL / "us_states.jpg")

    def _show(self, frame: np.ndarray) -> None:
        answers = self._panel.logic.tracking.statistics
        count = answers.answered
        started_s = time.monotonic()
        slicer.util.updateVolumeFromArray(self._stream, frame[None])
        wait_until(lambda: answers.answered > count)
        wait_until(lambda: time.monotonic() - started_s >= FRAME_S)

    def _everything(self, image: Any) -> Any:
        view = with_bar(image, "Red")
        parent = self._panel.parent
        least_px = parent.layout().totalMinimumHeightForWidth(PANEL_PX)
        parent.resize(PANEL_PX, max(view.height(), least_px))
        slicer.app.processEvents()
        return beside(parent.grab().toImage(), view)

    def _view_image(self) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "view.png")
            self._view.save_picture(path)
            return qt.QImage(str(path)).copy(0, MARGIN_PX, VIEW_PX, VIEW_PX - 2 * MARGIN_PX)

    def close(self) -> None:
        """Let everything go, the backend process too."""
        from NeedleLocalizationLib.session_process import end_session_process

        self._view.close()
        self._module.close(self._panel)
        end_session_process()


if __name__ == "__main__":
    main()
