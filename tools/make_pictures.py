"""Make the pictures of the README and the tutorial: ``make pictures``, or this file.

The panel is the module's own, in the tests' stand-in for Slicer's window. Slice and 3D views are
drawn without a screen by Slicer's own displayable managers. The needles are those that the shipped
weights find in the sample CT, which is simulated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT)]

from slicer_harness.boot import boot  # noqa: E402

slicer = boot()

import numpy as np  # noqa: E402
import qt  # noqa: E402

from slicer_harness.modules import LoadedModule, load_module  # noqa: E402
from slicer_harness.needle_localization import cells, select  # noqa: E402
from slicer_harness.slice_view import SliceView  # noqa: E402
from slicer_harness.three_d_view import ThreeDView  # noqa: E402

TUTORIAL = ROOT / "docs" / "pictures"
SCREENSHOT = ROOT / "Resources" / "Screenshots" / "NeedleLocalization.jpg"
THUMBNAIL = ROOT / "NeedleLocalization/Resources/Icons/NeedleLocalizationSample.png"
THUMBNAIL_PX = 260, 260
VIEW_PX, PANEL_PX = 500, 470
BARS = {"Red": "#f34a33", "Green": "#6eb04b", "Yellow": "#edd54c", "3D": "#7471b1"}
ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
BAR_PX, GAP_PX = 18, 3
JPEG_QUALITY = 88
LARGEST_BYTES = 300_000
WINDOW_HU, LEVEL_HU = 1100, 150
REVIEW_MM, SNAP_MM = 150.0, 90.0
"""Heights of what the slices show."""
CAMERA_MM = np.array([-420.0, -600.0, 560.0])
APART_MM = 6.0
ANSWER_S = 600.0


def main() -> None:
    module = load_module(ROOT / "NeedleLocalization" / "NeedleLocalization.py")
    stage = Stage(module)
    stage.find_needles()
    stage.show_review()
    stage.show_along_and_across()
    stage.show_snapping()
    stage.close()


class Stage:
    """The module's panel beside four views of the sample CT, and what a user does there."""

    def __init__(self, module: LoadedModule) -> None:
        from NeedleLocalizationLib.sample_data import SAMPLE

        self._module = module
        self._volume_node = SAMPLE.load()
        display = self._volume_node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(WINDOW_HU, LEVEL_HU)
        self._views = {
            name: SliceView(name, orientation, self._volume_node, VIEW_PX)
            for name, orientation in ORIENTATIONS.items()
        }
        self._three_d = ThreeDView((VIEW_PX, VIEW_PX))
        self._panel = module.open()
        self._panel.parent.show()

    def find_needles(self) -> None:
        """Apply, with the network in the backend process."""
        ui = self._panel.ui
        ui.needleCountSpinBox.value = 14
        ui.applyButton.click()
        wait_until(lambda: "Looking for tips and handles" in ui.statusLabel.text)
        save(self._grab_panel(), TUTORIAL / "panel_running.png")
        wait_until(lambda: ui.applyButton.text == "Apply")
        print(ui.statusLabel.text)

    def show_review(self) -> None:
        """Select the most doubtful needle, in a picture of everything."""
        self._panel.ui.skinCheckBox.checked = True
        number = cells(self._panel)[0][0]
        select(self._panel, number)
        for view in self._views.values():
            zoom(view.node, REVIEW_MM)
        self._look_from_behind()
        save(self._everything(), SCREENSHOT)
        save(self._grab(self._views["Red"]).scaled(*THUMBNAIL_PX), THUMBNAIL)

    def show_along_and_across(self) -> None:
        """Turn two slices to the selected needle."""
        ui = self._panel.ui
        ui.alongButton.click()
        ui.acrossButton.click()
        ui.depthSlider.value = 40
        save(beside(self._view("Green"), self._view("Red")), TUTORIAL / "along_and_across.jpg")
        ui.acrossButton.click()

    def show_snapping(self) -> None:
        """Drag a needle off its shaft, and let it snap back."""
        from NeedleLocalizationLib.slice_views import jump_to, slice_along

        ui, view = self._panel.ui, self._views["Green"]
        line = select(self._panel, self._clearest())
        ui.alongButton.click()  # the picture stays where it is while the needle moves
        tip, handle = (np.array(line.GetNthControlPointPositionWorld(i)) for i in range(2))
        slice_along(view.node, tip, handle)
        jump_to(0.75 * tip + 0.25 * handle)
        zoom(view.node, SNAP_MM)
        right = slicer.util.arrayFromVTKMatrix(view.node.GetSliceToRAS())[:3, 0]
        line.SetNthControlPointPositionWorld(0, *(tip + 4.0 * right))
        wait_until(lambda: "log-odds" in ui.needleLabel.text)
        print(ui.needleLabel.text)
        before = self._view("Green")
        ui.snapButton.click()
        wait_until(lambda: "lies on its shaft" in ui.statusLabel.text)
        wait_until(lambda: "log-odds" in ui.needleLabel.text)
        print(ui.needleLabel.text)
        save(beside(before, self._view("Green")), TUTORIAL / "snap.jpg")

    def _clearest(self) -> str:
        """Return the number of the needle that the picture shows best, away from all others."""
        from NeedleLocalizationLib.needle_nodes import needle_nodes_of, read_record

        records = [read_record(node) for node in needle_nodes_of(self._volume_node)]
        tips = np.array([record.tip_ras for record in records])
        gaps_mm = np.linalg.norm(tips[:, None] - tips[None], axis=2)
        np.fill_diagonal(gaps_mm, np.inf)
        apart = gaps_mm.min(axis=1) > APART_MM
        alone = [record for record, is_apart in zip(records, apart, strict=True) if is_apart]
        return max(alone, key=lambda record: record.score).id

    def _look_from_behind(self) -> None:
        """Look at needles and skin from where the needles go in."""
        from NeedleLocalizationLib.needle_nodes import needle_nodes_of, world_ends_ras

        ends = [world_ends_ras(node) for node in needle_nodes_of(self._volume_node)]
        centre = np.mean(ends, axis=(0, 1))
        self._three_d.look(centre, centre + CAMERA_MM, up=(0.0, 0.0, 1.0), height_mm=290.0)

    def close(self) -> None:
        """Let everything go, the backend process too."""
        for view in (*self._views.values(), self._three_d):
            view.close()
        self._module.close(self._panel)

    def _everything(self) -> Any:
        three_d = with_bar(self._grab(self._three_d), "3D")
        views = stacked(
            beside(self._view("Red"), three_d), beside(self._view("Green"), self._view("Yellow"))
        )
        return beside(self._grab_panel(views.height()), views)

    def _view(self, name: str) -> Any:
        return with_bar(self._grab(self._views[name]), name)

    def _grab(self, view: SliceView | ThreeDView) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "view.png")
            view.save_picture(path)
            return qt.QImage(str(path))

    def _grab_panel(self, height_px: int = 800) -> Any:
        parent = self._panel.parent
        least_px = parent.layout().totalMinimumHeightForWidth(PANEL_PX)
        parent.resize(PANEL_PX, max(height_px, least_px))
        slicer.app.processEvents()
        return self._panel.parent.grab().toImage()


def zoom(slice_node: Any, height_mm: float) -> None:
    """Show so much of a slice, about its middle."""
    width_px, height_px = slice_node.GetDimensions()[:2]
    depth_mm = slice_node.GetFieldOfView()[2]
    slice_node.SetFieldOfView(height_mm * width_px / height_px, height_mm, depth_mm)


def wait_until(condition: Callable[[], bool]) -> None:
    """Let Qt work until a condition holds."""
    deadline_s = time.monotonic() + ANSWER_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the panel did not answer in time")
        slicer.app.processEvents()
        time.sleep(0.005)


def with_bar(image: Any, name: str) -> Any:
    """Put the bar of its view over an image."""
    bar = qt.QImage(image.width(), BAR_PX, image.format())
    bar.fill(qt.QColor(BARS[name]))
    painter = qt.QPainter(bar)
    painter.drawText(6, BAR_PX - 5, name)
    painter.end()
    return stacked(bar, image, gap_px=0)


def beside(*images: Any) -> Any:
    """Put images side by side."""
    return joined(images, GAP_PX, across=True)


def stacked(*images: Any, gap_px: int = GAP_PX) -> Any:
    """Put images one below the other."""
    return joined(images, gap_px, across=False)


def joined(images: Sequence[Any], gap_px: int, across: bool) -> Any:
    """Put images in a row or in a column, on white."""
    widths, heights = [i.width() for i in images], [i.height() for i in images]
    gaps_px = gap_px * (len(images) - 1)
    if across:
        canvas = qt.QImage(sum(widths) + gaps_px, max(heights), qt.QImage.Format_RGB32)
    else:
        canvas = qt.QImage(max(widths), sum(heights) + gaps_px, qt.QImage.Format_RGB32)
    canvas.fill(qt.QColor("white"))
    painter = qt.QPainter(canvas)
    at = 0
    for image in images:
        painter.drawImage(qt.QPoint(at, 0) if across else qt.QPoint(0, at), image)
        at += (image.width() if across else image.height()) + gap_px
    painter.end()
    return canvas


def save(image: Any, path: Path) -> None:
    """Write a picture, small enough for the repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = JPEG_QUALITY if path.suffix == ".jpg" else -1
    if not image.save(str(path), None, quality):
        raise OSError(f"{path} was not written")
    if path.stat().st_size > LARGEST_BYTES:
        raise OSError(f"{path} is larger than {LARGEST_BYTES} bytes")
    print(path.relative_to(ROOT), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
