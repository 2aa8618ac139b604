"""The imaging region is found without the menus, text and rulers around it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from us.recordings import grey_frames, write_images

from needle_backend.core.errors import InputError
from needle_backend.us.frames import open_frames
from needle_backend.us.sector import colour_warning, find_sector, sector_of

BACKGROUNDS = Path(__file__).parents[3] / "shared" / "data" / "us" / "backgrounds"
RECT = (150, 60, 470, 380)


def speckle(rows=460, columns=640, seed=3):
    fine = np.random.default_rng(seed).rayleigh(30, (rows, columns)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(fine, (5, 3), 0) * 1.6, 0, 255).astype(np.uint8)


def screen(mask, background=0):
    """A scanner's screen: speckle where the mask says, writing and a grey bar beside it."""
    image = np.where(mask, speckle(*mask.shape), background).astype(np.uint8)
    for line in range(5):
        cv2.putText(image, f"FR {line}3 Hz", (5, 120 + 22 * line), 0, 0.5, 200, 1)
        cv2.putText(image, str(line), (500, 80 + 60 * line), 0, 0.5, 200, 1)
    image[340:390, 600:615] = np.linspace(255, 0, 50, dtype=np.uint8)[:, None]
    cv2.putText(image, "2026-01-01 Anon", (200, 30), 0, 0.6, 220, 1)
    image[415:] = 60
    cv2.putText(
        image, "MENU  DEPTH 4 cm  GAIN 40  FREQ 10 MHz  FREEZE  PRINT", (4, 438), 0, 0.65, 220, 2
    )
    return image


def rectangle(rows=460, columns=640):
    mask = np.zeros((rows, columns), bool)
    mask[RECT[1] : RECT[3], RECT[0] : RECT[2]] = True
    return mask


def fan(rows=460, columns=640):
    y, x = np.mgrid[:rows, :columns]
    radius = np.hypot(x - 320, y + 40)
    angle = np.degrees(np.arctan2(x - 320, y + 40))
    return (radius > 90) & (radius < 400) & (np.abs(angle) < 33)


def overlap(a, b):
    """Intersection over union of two rectangles."""
    shared = [max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    area_a, area_b = ((r[2] - r[0]) * (r[3] - r[1]) for r in (a, b))
    return shared[0] * shared[1] / (area_a + area_b - shared[0] * shared[1])


@pytest.mark.parametrize("background", [0, 40], ids=["black screen", "grey screen"])
def test_the_image_of_a_linear_probe_is_found_among_writing(background):
    found = find_sector(screen(rectangle(), background))
    assert overlap(found.rect, RECT) > 0.93
    assert found.mask[200, 300]
    assert not found.mask[130, 30]


def test_the_image_of_a_curved_probe_is_found_with_its_shape():
    mask = fan()
    found = find_sector(screen(mask))
    assert (found.mask & mask).sum() / (found.mask | mask).sum() > 0.9
    assert not found.mask[30, 30]


def test_an_echo_free_part_inside_belongs_to_the_region():
    image = screen(rectangle())
    cv2.circle(image, (310, 180), 100, 0, -1)
    assert overlap(find_sector(image).rect, RECT) > 0.93


def test_several_frames_fill_in_what_was_dark_in_the_first():
    dark, bright = screen(rectangle()), screen(rectangle())
    dark[220:] = 0
    alone, together = find_sector(dark), find_sector([dark, bright])
    assert alone.rect[3] < 240
    assert overlap(together.rect, RECT) > 0.93


def test_an_image_without_a_screen_around_it_is_kept_whole():
    found = find_sector(speckle(300, 400))
    assert overlap(found.rect, (0, 0, 400, 300)) > 0.98


def test_where_nothing_looks_like_ultrasound_the_whole_frame_is_taken():
    found = find_sector(np.full((200, 300), 70, np.uint8))
    assert found.rect == (0, 0, 300, 200)
    assert found.mask.all()


def test_a_region_crops_images():
    found = find_sector(screen(rectangle()))
    x0, y0, x1, y1 = found.rect
    assert found.crop(np.zeros((460, 640))).shape == (y1 - y0, x1 - x0)


def test_a_given_region_is_taken_as_it_is(tmp_path):
    source = open_frames(write_images(tmp_path / "some", grey_frames(2)))
    sector = sector_of(source, (3, 4, 50, 44))
    assert sector.rect == (3, 4, 50, 44)
    assert sector.mask.sum() == 47 * 40


@pytest.mark.parametrize("crop", [(0, 0, 65, 48), (-1, 0, 40, 40), (0, 0, 20, 40), (40, 40, 4, 4)])
def test_a_given_region_that_does_not_fit_is_refused(tmp_path, crop):
    source = open_frames(write_images(tmp_path / "some", grey_frames(2)))
    with pytest.raises(InputError, match="does not fit"):
        sector_of(source, crop)


def test_a_region_of_a_few_pixels_is_refused(tmp_path):
    tiny = np.zeros((460, 640), np.uint8)
    tiny[200:228, 300:329] = speckle(28, 29)
    source = open_frames(write_images(tmp_path / "some", tiny[None]))
    with pytest.raises(InputError, match=r"imaging region of only \d+ x \d+ pixels"):
        sector_of(source)


def test_colours_inside_the_region_are_warned_of_and_those_outside_are_not(tmp_path):
    image = cv2.cvtColor(screen(rectangle()), cv2.COLOR_GRAY2BGR)
    cv2.circle(image, (60, 380), 15, (0, 200, 255), -1)
    write_images(tmp_path / "menu", image[None])
    cv2.line(image, (200, 100), (400, 300), (0, 255, 255), 2)
    write_images(tmp_path / "measured", image[None])
    warnings = []
    for name in ("menu", "measured"):
        source = open_frames(tmp_path / name)
        warnings.append(colour_warning(source, sector_of(source)))
    assert warnings[0] is None
    assert "may be taken for a needle" in warnings[1]


@pytest.mark.skipif(not BACKGROUNDS.is_dir(), reason="needs the real images of ../shared")
@pytest.mark.parametrize(
    ("group", "least"),
    [
        ("usgra_seg", 0.8),
        ("timtrack ds1", 0.9),
        ("timtrack ds2", 0.9),
        ("timtrack ds4 A", 0.9),
        ("imfusion_liver", 0.9),
        ("itkpocus interson-image.jpg", 0.9),
        ("itkpocus clarius_axial-lateral-resolution-2020.png", 0.9),
    ],
)
def test_on_real_images_the_region_is_that_which_a_person_drew(group, least):
    rows = json.loads((BACKGROUNDS / "crops.json").read_text())
    (row,) = (row for row in rows if row["group"] == group)
    overlaps = []
    for path in sorted(BACKGROUNDS.glob(row["pattern"]))[::12]:
        rects = row.get("rect_per_file", {})
        drawn = rects.get(path.relative_to(BACKGROUNDS).as_posix(), row.get("rect"))
        (frame,) = open_frames(path)
        overlaps.append(overlap(find_sector(frame.image).rect, drawn))
    assert np.mean(overlaps) > least
