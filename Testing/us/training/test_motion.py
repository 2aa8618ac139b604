"""How needle and tissue move in simulated sequences."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.us.training.motion import (
    STEP_PX,
    Puncture,
    TissueMotion,
    draw_puncture,
    draw_shift,
)
from needle_backend.us.training.probe import LinearProbe
from needle_backend.us.training.settings import MotionSettings, NeedleSettings, TissueSettings

PROBE = LinearProbe((640, 480), 0.0, 0.0, 640.0, 480.0)
TIMES_S = np.arange(60) / 30


def puncture(seed: int, motion: MotionSettings | None = None) -> Puncture:
    rng = np.random.default_rng(seed)
    still = np.zeros((len(TIMES_S), 2))
    return draw_puncture(
        NeedleSettings(), motion or MotionSettings(), PROBE, 10.0, still, TIMES_S, rng
    )


@pytest.mark.parametrize("seed", range(8))
def test_points_run_back_from_the_tip_in_equal_steps(seed):
    for pose in puncture(seed).poses[::20]:
        steps = np.linalg.norm(np.diff(pose.xy[:400], axis=0), axis=1)
        np.testing.assert_allclose(steps, STEP_PX, rtol=0.05)
        assert (pose.xy[0] == pose.tip).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_tip_moves_no_faster_than_the_hand(seed):
    tips = np.array([pose.tip for pose in puncture(seed).poses])
    speed_px_s = np.linalg.norm(np.diff(tips, axis=0), axis=1) * 30
    fastest_px_s, tremor_px_s = 20 * 10, 60
    assert speed_px_s.max() < fastest_px_s + tremor_px_s


def test_a_needle_goes_in_or_comes_out():
    pushing = MotionSettings(withdrawal_share=0.0, pause_s=(0.1, 0.2))
    pulling = MotionSettings(withdrawal_share=1.0, pause_s=(0.1, 0.2))
    for motion, sign in ((pushing, 1), (pulling, -1)):
        ways = [
            sign * (course.poses[-1].travelled_px - course.poses[0].travelled_px)
            for course in (puncture(seed, motion) for seed in range(12))
        ]
        assert np.median(ways) > 30


def test_in_a_long_recording_the_needle_may_be_drawn_out_altogether():
    times_s = np.arange(60) / 1.5
    still = np.zeros((len(times_s), 2))
    fast = MotionSettings(pause_s=(0.1, 0.2))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        course = draw_puncture(NeedleSettings(), fast, PROBE, 20.0, still, times_s, rng)
        assert len(course.poses) == 60
        assert min(len(pose.xy) for pose in course.poses) >= 2


def test_the_deepest_tip_lies_in_the_picture():
    for seed in range(12):
        poses = puncture(seed).poses
        x, y = max(poses, key=lambda pose: pose.travelled_px).tip
        assert 0 < x < 640
        assert 0 < y < 480


def test_tissue_follows_the_needle_only_near_it():
    rng = np.random.default_rng(2)
    rigid = TissueSettings(warp_px=(0, 0), drift_px=(0, 0))
    still = np.zeros((len(TIMES_S), 2))
    moving = TissueMotion(rigid, PROBE, still, TIMES_S, rng)
    course = puncture(3)
    frame = int(np.abs(course.drag).argmax())
    pose, drag = course.poses[frame], course.drag[frame]
    moved = np.linalg.norm(moving.at(frame, pose, drag), axis=-1)
    column, row = np.clip(np.rint(pose.tip).astype(int), 0, (639, 479))
    assert moved[row, column] > 0.3 * abs(drag) > 0.1
    far = np.hypot(*(np.indices(moved.shape)[::-1] - pose.tip[:, None, None])) > 250
    back = pose.xy - pose.tip
    ahead = np.einsum(
        "crs,c->rs", np.indices(moved.shape)[::-1] - pose.tip[:, None, None], back[80]
    )
    assert moved[far & (ahead < 0)].max() < 0.05 * abs(drag)


def test_probe_motion_shifts_the_needle_with_the_tissue():
    shift = draw_shift(TissueSettings(drift_px=(6, 6)), TIMES_S, np.random.default_rng(1))
    drawn = [
        draw_puncture(
            NeedleSettings(), MotionSettings(), PROBE, 10.0, by, TIMES_S, np.random.default_rng(5)
        )
        for by in (np.zeros_like(shift), shift)
    ]
    apart = np.array([b.tip - a.tip for a, b in zip(*(d.poses for d in drawn), strict=True)])
    np.testing.assert_allclose(apart, shift, atol=1e-6)
