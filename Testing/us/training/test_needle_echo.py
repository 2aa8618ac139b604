"""What a needle adds to the echoes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from needle_backend.us.training.motion import STEP_PX, Pose
from needle_backend.us.training.needle_echo import NeedleEcho
from needle_backend.us.training.needle_look import NeedleLook, draw_look
from needle_backend.us.training.probe import LinearProbe
from needle_backend.us.training.settings import NeedleSettings
from needle_backend.us.training.speckle import PointSpread

PROBE = LinearProbe((400, 300), 0.0, 0.0, 400.0, 300.0)
SPREAD = PointSpread.focused(1.2, 2.0, 1.5, 0.5, PROBE.lateral_px())
PLAIN = NeedleSettings(
    bead_share=0.0, comet_share=0.0, reverberation_share=0.0, dropout_db=(0, 0), shadow_db=(3, 3)
)


def look(settings: NeedleSettings = PLAIN, seed: int = 0) -> NeedleLook:
    return draw_look(settings, slice_mm=1.5, px_per_mm=8.0, rng=np.random.default_rng(seed))


def pose(tip: tuple[float, float], angle_deg: float, outside_mm: float = 0.0) -> Pose:
    angle = np.radians(angle_deg)
    along = np.arange(0, 300, STEP_PX)[:, None]
    xy = np.array(tip) + along * (np.cos(angle), -np.sin(angle))
    return Pose(xy, np.full(len(xy), outside_mm), 0.0)


def brightness(needle: NeedleLook, where: Pose) -> np.ndarray:
    """Return the needle's envelope over the whole grid."""
    echo = NeedleEcho(needle, PROBE, SPREAD, np.random.default_rng(1)).seen(where)
    both = echo.onto(np.zeros((*PROBE.shape, 2), np.float32))
    return np.hypot(both[..., 0], both[..., 1])


def test_the_echo_lies_where_the_needle_is():
    shown = brightness(look(), pose((120, 200), 30))
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    # The line through the tip rises by tan 30 degrees to the right.
    off_axis = abs((200 - row) - np.tan(np.radians(30)) * (column - 120))
    assert off_axis < 12
    assert shown[230:, :].max() < 0.2 * shown.max()


def test_no_shaft_lies_beyond_the_tip():
    shown = brightness(look(replace(PLAIN, side_lobe_db=(-60, -60))), pose((200, 150), 20))
    assert shown[:, :180].max() < 0.05 * shown.max()


def test_a_shaft_across_the_beams_is_brighter_than_a_steep_one():
    shallow, steep = (
        np.sort(brightness(look(), pose((60, 280), angle))[:, 120:], axis=None)[-500:].mean()
        for angle in (10, 65)
    )
    assert shallow > 1.5 * steep


def test_a_needle_out_of_the_plane_is_not_seen():
    here = brightness(look(), pose((120, 200), 30)).max()
    beside = brightness(look(), pose((120, 200), 30, outside_mm=3.0)).max()
    assert beside < 0.2 * here
    assert NeedleEcho(look(), PROBE, SPREAD, np.random.default_rng(1)).seen(
        pose((120, 200), 30, outside_mm=9.0)
    ) is None  # fmt: skip


def test_a_needle_outside_the_picture_gives_no_echo():
    echo = NeedleEcho(look(), PROBE, SPREAD, np.random.default_rng(1))
    assert echo.seen(pose((900, -400), 30)) is None


def test_tissue_behind_the_shaft_lies_in_its_shadow():
    tissue = np.ones((*PROBE.shape, 2), np.float32)
    echo = NeedleEcho(look(), PROBE, SPREAD, np.random.default_rng(1)).seen(pose((120, 200), 30))
    kept = echo.onto(tissue)[290, 200, 0]
    assert kept == pytest.approx(10 ** (-3 / 20), abs=0.05)


def test_reverberation_repeats_the_shaft_below_it():
    plain = look()
    ringing = replace(plain, echoes=np.array([0.6, 0.36]), gap_px=12.0)
    row, column = np.indices(PROBE.shape)
    depth = row - (200 - np.tan(np.radians(10)) * (column - 120))
    below = (depth > 16) & (depth < 60) & (column > 150)
    once, repeated = (
        brightness(needle, pose((120, 200), 10))[below].sum() for needle in (plain, ringing)
    )
    assert repeated > 1.5 * once


def test_a_blooming_needle_is_wider_across_the_beams_and_no_deeper():
    flat = pose((120, 150), 0)
    fine, wide = (brightness(look(replace(PLAIN, bloom=(by, by))), flat) for by in (1.0, 3.0))
    beyond_tip = slice(100, 116)
    assert wide[150, beyond_tip].mean() > 1.5 * fine[150, beyond_tip].mean()
    assert wide[:, 250].argmax() == pytest.approx(fine[:, 250].argmax(), abs=3)


def test_a_shaft_may_lose_its_light_towards_its_entry():
    fading = look(replace(PLAIN, trend_db=(12, 12))), look()
    at_tip, behind = (slice(130, 150), slice(320, 360))
    kept = [
        shown[:, behind].max() / shown[:, at_tip].max()
        for shown in (brightness(needle, pose((120, 200), 10)) for needle in fading)
    ]
    assert kept[0] < 0.5 * kept[1]


def test_haze_lies_below_the_needle_only_and_reaches_deep():
    hazy = replace(PLAIN, haze_share=1.0, haze_db=(-14, -14), side_lobe_db=(-60, -60))
    shown = brightness(look(hazy), pose((120, 100), 5))
    below, above, beyond = shown[200:280, 140:160], shown[:60, 140:160], shown[200:280, :80]
    assert below.mean() > 20 * max(above.mean(), beyond.mean())


def test_what_is_left_out_by_default_changes_nothing_else_of_a_needle():
    plain, hazy = look(), look(replace(PLAIN, haze_share=1.0, bloom=(2, 2)))
    np.testing.assert_array_equal(plain.grain, hazy.grain)
    np.testing.assert_array_equal(plain.place_db, hazy.place_db)
    assert (plain.shaft_db, plain.tip_db) == (hazy.shaft_db, hazy.tip_db)
