"""One overview picture of a result: three projections and some axial slices, needles drawn in.

Seen as radiographers see it: axial from the feet (patient's right on the left, anterior up),
coronal from the front, sagittal from the left side; all to one scale in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from needle_backend.core.errors import BackendError
from needle_backend.core.files import written_whole
from needle_backend.core.markups import needle_colour
from needle_backend.core.needles import LocateResult, Needle
from needle_backend.core.volume import Volume

MAX_BYTES = 300_000
_WIDTH_PX = 1500
_HEIGHT_PX = 1300
_GAP_PX = 8
_TITLE_PX = 40
_SLICES = 4
_MARGIN_MM = 12.0
_DASH_PX, _SPACE_PX = 7.0, 7.0

# Projections add up bone, so they need a wider window than single slices.
_PROJECTION_HU = (-300.0, 2600.0)
_SLICE_HU = (-300.0, 1100.0)
_TISSUE_HU = -400

_PROJECTION_NAMES = ("sagittal maximum", "coronal maximum", "axial maximum")
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _GREY, _BLACK = (255, 255, 255), (170, 170, 170), (0, 0, 0)
_BACKGROUND = (28, 28, 28)


@dataclass(frozen=True)
class View:
    """A window onto a plane of the patient.

    Attributes
    ----------
    across, down
        Which LPS axis (0..2) runs to the right and which down the picture.
    upwards
        Whether the second axis grows up the picture (S does, P does not).
    low_mm, high_mm
        What part of the patient is seen, LPS, (3,).
    px_per_mm
        Scale.
    letters
        Where left, right, top and bottom of the picture lie in the patient.
    """

    across: int
    down: int
    upwards: bool
    low_mm: np.ndarray
    high_mm: np.ndarray
    px_per_mm: float
    letters: str

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        size = (self.high_mm - self.low_mm) * self.px_per_mm
        return max(1, round(size[self.across])), max(1, round(size[self.down]))

    def to_px(self, points_lps: np.ndarray) -> np.ndarray:
        """Map LPS mm, (..., 3), to pixels of this view, (..., 2)."""
        points_lps = np.asarray(points_lps, float)
        x = points_lps[..., self.across] - self.low_mm[self.across]
        if self.upwards:
            y = self.high_mm[self.down] - points_lps[..., self.down]
        else:
            y = points_lps[..., self.down] - self.low_mm[self.down]
        return np.stack((x, y), axis=-1) * self.px_per_mm

    def draw_image(
        self, plane: np.ndarray, volume: Volume, window_hu: tuple[float, float]
    ) -> np.ndarray:
        """Return a plane [down, across] of the volume as this view's BGR pixels."""
        low, high = window_hu
        grey = np.clip((plane.astype(np.float32) - low) * (255.0 / (high - low)), 0, 255)
        corners = np.tile(np.asarray(volume.origin_lps, float), (3, 1))
        corners[1, self.across] += volume.spacing_mm[self.across]
        corners[2, self.down] += volume.spacing_mm[self.down]
        to_px = cv2.getAffineTransform(
            np.float32([(0, 0), (1, 0), (0, 1)]), np.float32(self.to_px(corners) - 0.5)
        )
        image = cv2.warpAffine(grey, to_px, self.size_px, flags=cv2.INTER_LINEAR)
        return cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_GRAY2BGR)


@dataclass(frozen=True)
class _Mark:
    """A numbered point of a panel, and where its number had best go."""

    at_px: np.ndarray
    towards_px: np.ndarray
    text: str
    colour: tuple[int, int, int]


def write_picture(path: Path, volume: Volume, result: LocateResult) -> None:
    """Write an overview of the volume and the needles found in it, as PNG of at most 300 KB.

    Raises
    ------
    InputError
        When the place is not writable.
    BackendError
        When the picture cannot be encoded.
    """
    encoded = overview_png(volume, result)
    with written_whole(path) as temporary:
        temporary.write_bytes(encoded)


def overview_png(volume: Volume, result: LocateResult) -> bytes:
    """Return what :func:`write_picture` writes.

    Raises
    ------
    BackendError
        When the picture cannot be encoded.
    """
    return _encoded(draw_overview(volume, result))


def draw_overview(volume: Volume, result: LocateResult) -> np.ndarray:
    """Return the overview as BGR pixels, (height, width, 3) uint8."""
    low_mm, high_mm = _region(volume, result)
    width_mm, depth_mm, height_mm = high_mm - low_mm
    px_per_mm = min(
        (_WIDTH_PX - _GAP_PX) / 2 / max(width_mm, depth_mm),
        _HEIGHT_PX / (depth_mm + height_mm),
    )
    axial = View(0, 1, False, low_mm, high_mm, px_per_mm, "RLAP")
    coronal = View(0, 2, True, low_mm, high_mm, px_per_mm, "RLSI")
    sagittal = View(1, 2, True, low_mm, high_mm, px_per_mm, "APSI")
    small = replace(axial, px_per_mm=(px_per_mm * width_mm - _GAP_PX) / 2 / width_mm)
    panels = [_projection(view, volume, result) for view in (axial, coronal, sagittal)]
    slices = [_slice(small, volume, result, k) for k in _telling_slices(volume, result)]
    grid = _below(_beside(slices[0], slices[1]), _beside(slices[2], slices[3]))
    picture = _below(_beside(panels[0], grid), _beside(panels[1], panels[2]))
    return _below(_title(volume, result, picture.shape[1]), picture)


def _region(volume: Volume, result: LocateResult) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners, LPS mm, of what shows anything: tissue, table and needles."""
    solid = volume.array.max(axis=0) > _TISSUE_HU
    if not solid.any():
        solid[:] = True
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    last = len(volume.array) - 1
    first_ijk = np.array([columns[0], rows[0], 0]) - 0.5
    last_ijk = np.array([columns[-1], rows[-1], last]) + 0.5
    ends = [end for needle in result.needles for end in (needle.tip_lps, needle.handle_lps)]
    corners = np.array([*volume.ijk_to_lps(np.array([first_ijk, last_ijk])), *ends])
    return corners.min(axis=0) - _MARGIN_MM, corners.max(axis=0) + _MARGIN_MM


def _telling_slices(volume: Volume, result: LocateResult) -> list[int]:
    """Choose slices spread over those that hold needles' ends, from cranial to caudal."""
    ends = [end for needle in result.needles for end in (needle.tip_lps, needle.handle_lps)]
    last = len(volume.array) - 1
    if ends:
        z = np.clip(np.rint(volume.lps_to_ijk(np.array(ends))[:, 2]), 0, last)
    else:
        z = np.arange(last + 1)
    at = (np.arange(_SLICES) + 0.5) / _SLICES
    return [int(k) for k in np.quantile(z, at, method="nearest")[::-1]]


def _projection(view: View, volume: Volume, result: LocateResult) -> np.ndarray:
    through = 3 - view.across - view.down
    plane = volume.array.max(axis=2 - through)
    panel = view.draw_image(plane, volume, _PROJECTION_HU)
    marks = []
    for i, needle in enumerate(result.needles):
        tip, handle = view.to_px(np.array([needle.tip_lps, needle.handle_lps]))
        colour = _bgr(i)
        _draw_shaft(panel, tip, handle, colour)
        _draw_tip(panel, tip, colour, filled=True)
        _draw_handle(panel, handle, colour, filled=True)
        marks.append(_Mark(handle, handle - tip, _number(needle), colour))
    for point in result.unmatched_tips:
        _draw_tip(panel, view.to_px(np.array(point)), _WHITE, filled=False)
    for point in result.unmatched_handles:
        _draw_handle(panel, view.to_px(np.array(point)), _WHITE, filled=False)
    _draw_numbers(panel, marks)
    _draw_frame(panel, view, _PROJECTION_NAMES[through])
    return panel


def _slice(view: View, volume: Volume, result: LocateResult, k: int) -> np.ndarray:
    z_mm = float(volume.ijk_to_lps(np.array([0, 0, k]))[2])
    panel = view.draw_image(volume.array[k], volume, _SLICE_HU)
    half_mm = volume.spacing_mm[2] / 2
    marks = []
    for i, needle in enumerate(result.needles):
        part = _part_within(needle, z_mm - half_mm, z_mm + half_mm)
        if part is None:
            continue
        start, end = view.to_px(part)
        colour = _bgr(i)
        _draw_shaft(panel, start, end, colour)
        tip, handle = view.to_px(np.array([needle.tip_lps, needle.handle_lps]))
        if abs(needle.handle_lps[2] - z_mm) <= half_mm:
            _draw_handle(panel, handle, colour, filled=True)
        if abs(needle.tip_lps[2] - z_mm) <= half_mm:
            _draw_tip(panel, tip, colour, filled=True)
            marks.append(_Mark(tip, tip - handle, _number(needle), colour))
    _draw_numbers(panel, marks)
    _draw_frame(panel, view, f"slice {k}, S {z_mm:.0f} mm")
    return panel


def _part_within(needle: Needle, low_mm: float, high_mm: float) -> np.ndarray | None:
    """Return the ends, (2, 3) LPS, of the part of a needle between two heights; None if none."""
    tip, handle = np.array(needle.tip_lps), np.array(needle.handle_lps)
    rise = handle[2] - tip[2]
    if abs(rise) < 1e-6:
        return np.array([tip, handle]) if low_mm <= tip[2] <= high_mm else None
    first, last = sorted(((low_mm - tip[2]) / rise, (high_mm - tip[2]) / rise))
    first, last = max(first, 0.0), min(last, 1.0)
    if first > last:
        return None
    return np.array([tip + first * (handle - tip), tip + last * (handle - tip)])


def _number(needle: Needle) -> str:
    return needle.id.lstrip("N0") + ("?" if needle.doubts else "")


def _bgr(index: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in needle_colour(index))
    return blue, green, red


def _pixel(point_px: np.ndarray) -> tuple[int, int]:
    return round(float(point_px[0])), round(float(point_px[1]))


def _draw_line(panel: np.ndarray, start, end, colour) -> None:
    cv2.line(panel, _pixel(start), _pixel(end), colour, 1, cv2.LINE_AA)


def _draw_shaft(panel: np.ndarray, start, end, colour) -> None:
    """Draw dashes, so that the metal can be seen to lie under them."""
    length = float(np.linalg.norm(end - start))
    for begin in np.arange(0.0, length, _DASH_PX + _SPACE_PX):
        stop = min(begin + _DASH_PX, length)
        _draw_line(
            panel,
            start + (end - start) * begin / length,
            start + (end - start) * stop / length,
            colour,
        )


def _draw_tip(panel: np.ndarray, at, colour, filled: bool) -> None:
    cv2.circle(panel, _pixel(at), 3 if filled else 6, colour, -1 if filled else 1, cv2.LINE_AA)


def _draw_handle(panel: np.ndarray, at, colour, filled: bool) -> None:
    x, y = _pixel(at)
    half = 3 if filled else 6
    corners = (x - half, y - half), (x + half, y + half)
    cv2.rectangle(panel, *corners, colour, -1 if filled else 1, cv2.LINE_AA)


def _draw_text(panel: np.ndarray, text: str, x: int, baseline: int, colour, scale=0.42) -> None:
    # Hershey fonts know ASCII only.
    text = text.encode("ascii", "replace").decode()
    # The outline is the same text shifted: thicker strokes are wider text in some OpenCV versions.
    for dx, dy in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        cv2.putText(panel, text, (x + dx, baseline + dy), _FONT, scale, _BLACK, 1, cv2.LINE_AA)
    cv2.putText(panel, text, (x, baseline), _FONT, scale, colour, 1, cv2.LINE_AA)


def _text_size(text: str, scale: float = 0.42) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    return width, height


def _draw_numbers(panel: np.ndarray, marks: list[_Mark]) -> None:
    """Write every number near its point, where no other number stands."""
    taken: list[tuple[float, float, float, float]] = []
    for mark in marks:
        width, height = _text_size(mark.text)
        x, y = _free_place(mark, width, height, taken, panel.shape)
        taken.append((x, y, x + width, y + height))
        middle = np.array([x + width / 2, y + height / 2])
        if np.linalg.norm(middle - mark.at_px) > 22:
            _draw_line(panel, mark.at_px, middle, _GREY)
    for mark, (x, _, _, bottom) in zip(marks, taken, strict=True):
        _draw_text(panel, mark.text, round(x), round(bottom), mark.colour)


def _free_place(mark: _Mark, width: int, height: int, taken, shape) -> tuple[float, float]:
    """Return the top left corner of the nearest free place, best in the mark's own direction."""
    angle = np.arctan2(mark.towards_px[1], mark.towards_px[0])
    candidates = [
        mark.at_px
        + distance * np.array([np.cos(angle + turn), np.sin(angle + turn)])
        - (width / 2, height / 2)
        for distance in range(14, 130, 9)
        for turn in np.radians((0, 25, -25, 50, -50, 80, -80))
    ]
    for x, y in candidates:
        inside = x > 2 and y > 2 and x + width < shape[1] - 2 and y + height < shape[0] - 2
        free = all(
            x > right + 3 or x + width < left - 3 or y > bottom + 3 or y + height < top - 3
            for left, top, right, bottom in taken
        )
        if inside and free:
            return x, y
    return tuple(candidates[0])


def _draw_frame(panel: np.ndarray, view: View, caption: str) -> None:
    """Write the patient's directions at the panel's edges, a caption and a scale bar."""
    height, width = panel.shape[:2]
    places = (
        (4, height // 2),
        (width - 15, height // 2),
        (width // 2, 15),
        (width // 2, height - 6),
    )
    for letter, (x, baseline) in zip(view.letters, places, strict=True):
        _draw_text(panel, letter, x, baseline, _WHITE, 0.5)
    _draw_text(panel, caption, 6, 16, _GREY)
    bar = round(50 * view.px_per_mm)
    start, end = (width - bar - 10, height - 10), (width - 10, height - 10)
    cv2.line(panel, start, end, _WHITE, 2)
    _draw_text(panel, "50 mm", start[0], height - 15, _WHITE, 0.36)


def _title(volume: Volume, result: LocateResult, width: int) -> np.ndarray:
    title = np.full((_TITLE_PX, width, 3), _BACKGROUND, np.uint8)
    found = len(result.needles)
    count = "no needles found" if found == 0 else f"{found} needle{'s' if found > 1 else ''}"
    if found and result.count.estimated:
        count += ", number estimated"
    doubtful = sum(bool(needle.doubts) for needle in result.needles)
    if doubtful:
        count += f", {doubtful} doubtful (?)"
    _draw_text(title, f"{Path(volume.source).name}: {count}", 10, 26, _WHITE, 0.62)
    legend = [("tip", _draw_tip, True), ("handle", _draw_handle, True)]
    if result.unmatched_tips or result.unmatched_handles:
        legend += [("tip alone", _draw_tip, False), ("handle alone", _draw_handle, False)]
    x = width - 10
    for text, draw_symbol, filled in reversed(legend):
        x -= _text_size(text)[0]
        _draw_text(title, text, x, 25, _WHITE)
        draw_symbol(title, (x - 12, 21), _WHITE, filled)
        x -= 34
    return title


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.swapaxes(_below(np.swapaxes(left, 0, 1), np.swapaxes(right, 0, 1)), 0, 1)


def _below(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Put two panels into one, with a gap between and background where one is narrower."""
    width = max(upper.shape[1], lower.shape[1])
    height = upper.shape[0] + _GAP_PX + lower.shape[0]
    both = np.full((height, width, 3), _BACKGROUND, np.uint8)
    both[: upper.shape[0], : upper.shape[1]] = upper
    both[-lower.shape[0] :, : lower.shape[1]] = lower
    return both


def _encoded(picture: np.ndarray) -> bytes:
    """Return PNG bytes of at most :data:`MAX_BYTES`, with fewer greys as that needs."""
    for step in (4, 8, 16, 32):
        ok, png = cv2.imencode(".png", picture // step * step, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        if ok and len(png) <= MAX_BYTES:
            return png.tobytes()
    if min(picture.shape[:2]) < 100:
        raise BackendError("The overview picture could not be encoded.")
    return _encoded(cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA))
