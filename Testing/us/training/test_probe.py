"""Where a probe's beams lie in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.us.training.probe import CurvedProbe, LinearProbe, acquired

LINEAR = LinearProbe((320, 240), left=20.0, top=10.0, width=280.0, height=220.0, beam_px=1.5)
CURVED = CurvedProbe((320, 240), (160.0, -60.0), 65.0, 220.0, half_angle=0.5, beams=180)
PROBES = pytest.mark.parametrize("probe", [LINEAR, CURVED], ids=["linear", "curved"])


@PROBES
@given(beam=st.floats(0, 179), sample=st.floats(0, 219))
def test_picture_and_grid_are_inverse_to_each_other(probe, beam, sample):
    point = np.array([beam, sample])
    np.testing.assert_allclose(probe.to_grid(probe.to_picture(point)), point, atol=1e-6)


@PROBES
@given(beam=st.floats(0, 179), sample=st.floats(0, 200))
def test_beams_run_along_their_direction(probe, beam, sample):
    here, deeper = (probe.to_picture(np.array([beam, depth])) for depth in (sample, sample + 10))
    np.testing.assert_allclose(probe.beam_direction(here), (deeper - here) / 10, atol=1e-6)


@PROBES
def test_the_picture_is_black_outside_the_sector(probe):
    picture = probe.scan.picture(np.full(probe.shape, 200.0, np.float32))
    assert picture[probe.scan.sector].min() > 150
    assert picture[~probe.scan.sector].max() == 0
    assert 0.2 < probe.scan.sector.mean() < 0.95


@PROBES
def test_scan_conversion_can_be_undone(probe):
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (240, 320)).astype(np.float32), (0, 0), 4)
    again = probe.scan.picture(acquired(picture, probe))
    inside = cv2.erode(probe.scan.sector.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(again - picture)[inside].max() < 2


def test_beams_of_a_curved_probe_part_with_depth():
    spacing = CURVED.lateral_px()
    assert (np.diff(spacing) > 0).all()
    across = CURVED.to_picture(np.array([[90.0, 150.0], [91.0, 150.0]]))
    assert np.linalg.norm(across[1] - across[0]) == pytest.approx(spacing[150], rel=1e-3)
