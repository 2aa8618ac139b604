"""Real images as the tissue of simulated sequences."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.training.backgrounds import (
    as_tissue,
    find_backgrounds,
    place,
    read_background,
)
from needle_backend.us.training.probe import CurvedProbe, LinearProbe
from needle_backend.us.training.speckle import Display, PointSpread


def textured(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (rows, columns)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 20, 220, cv2.NORM_MINMAX).astype(np.uint8)


def fan(rows: int = 300, columns: int = 400) -> np.ndarray:
    probe = CurvedProbe((columns, rows), (200.0, -60.0), 70.0, 280.0, half_angle=0.5, beams=200)
    return probe.scan.picture(textured(*probe.shape)).astype(np.uint8)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(InputError, match="holds no image"):
        find_backgrounds(tmp_path)


def test_images_are_listed_in_a_fixed_order(tmp_path):
    for name in ("b.png", "a.png", "c.jpg"):
        cv2.imwrite(str(tmp_path / name), textured(80, 80))
    assert [path.name for path in find_backgrounds(tmp_path)] == ["a.png", "b.png", "c.jpg"]


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no png")
    with pytest.raises(InputError, match="broken.png cannot be read"):
        read_background(tmp_path / "broken.png")


def test_a_thumbnail_is_refused_with_its_size(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), textured(40, 200))
    with pytest.raises(InputError, match="only 200 x 40 pixels"):
        read_background(tmp_path / "small.png")


@pytest.mark.parametrize("shape", [(480, 640), (200, 300), (900, 300), (200, 900)])
def test_an_image_is_placed_without_distortion(shape):
    picture, probe, scale = place(textured(*shape), (640, 480), np.random.default_rng(3))
    assert picture.shape == (480, 640)
    assert isinstance(probe, LinearProbe)
    samples, beams = probe.shape
    assert samples <= round(shape[0] * scale) + 1
    assert beams <= round(shape[1] * scale) + 1
    assert (picture[probe.scan.sector] > 0).mean() > 0.99
    assert picture[~probe.scan.sector].max(initial=0) == 0


def test_a_fan_is_recognised_and_its_beams_found():
    picture, probe, scale = place(fan(), (640, 480), np.random.default_rng(3))
    assert isinstance(probe, CurvedProbe)
    assert probe.half_angle == pytest.approx(0.5, abs=0.05)
    assert probe.radius_px == pytest.approx(70 * scale, rel=0.1)
    assert (picture[probe.scan.sector] > 3).mean() > 0.98


@pytest.mark.parametrize("corner", ["black", "shadow"])
def test_dark_parts_of_a_rectangle_do_not_make_it_a_fan(corner):
    image = textured(240, 320)
    if corner == "black":
        image[:] = 0
    else:
        image[np.tri(240, 320, -60, dtype=bool)] = 0  # one slanting edge only
    _, probe, _ = place(image, (640, 480), np.random.default_rng(3))
    assert isinstance(probe, LinearProbe)


def test_tissue_at_rest_shows_the_image_itself():
    picture, probe, _ = place(textured(240, 320), (320, 240), np.random.default_rng(3))
    display = Display(60)
    spread = PointSpread.focused(1.2, 2.0, 1.5, 0.5, probe.lateral_px())
    tissue = as_tissue(picture, probe, display, spread, np.random.default_rng(4))
    echoes = tissue.seen(np.zeros((*probe.shape, 2), np.float32), turn=0.0)
    shown = probe.scan.picture(display.grey(np.hypot(echoes[..., 0], echoes[..., 1])))
    assert np.abs(shown - picture).max() < 1.5
