"""What benchmarks measure, and what they make of it; never how long it took."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from needle_backend.bench.ct import plain_answers
from needle_backend.bench.plot import write_plot
from needle_backend.bench.timing import Timing, ratio, scaling, timed
from needle_backend.bench.volumes import with_slices
from needle_backend.core.volume import Volume
from needle_backend.ct.network import NetworkSettings, TipHandleNetwork


@pytest.fixture
def volume() -> Volume:
    array = np.arange(3, dtype=np.int16)[:, None, None] * np.ones((1, 10, 20), np.int16)
    return Volume(array, (1.0, 1.0, 5.0), (0.0, 0.0, 0.0))


def test_a_longer_volume_goes_through_the_slices_there_and_back(volume):
    assert with_slices(volume, 8).array[:, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert with_slices(volume, 2).array[:, 0, 0].tolist() == [0, 1]


def test_another_size_cuts_or_adds_air_around_the_middle(volume):
    fitted = with_slices(volume, 3, 16).array
    assert fitted.shape == (3, 16, 16)
    assert (fitted[2, 3:13] == 2).all()
    assert (fitted[2, :3] == -1000).all() and (fitted[2, 13:] == -1000).all()


@pytest.mark.parametrize("power", [1, 2])
def test_growth_is_told_as_an_exponent(power):
    sizes = [10, 20, 50, 100, 200]
    report = scaling(sizes, [Timing(0.001 * size**power, 0.0) for size in sizes])
    assert report["exponent"] == pytest.approx(power)
    assert report["sizes"] == sizes


def test_a_fixed_cost_does_not_hide_the_growth():
    sizes = [1, 2, 5, 1000, 2000, 4000]
    report = scaling(sizes, [Timing(3 + size, 0.0) for size in sizes])
    assert report["exponent"] == pytest.approx(1, abs=0.05)


def test_what_is_timed_runs_once_more_to_warm_up():
    runs = []
    timing = timed(lambda: runs.append(1), repeats=3)
    assert len(runs) == 4
    assert timing.wall_s >= 0


def test_a_ratio_tells_how_many_times_as_long_it_takes():
    assert ratio(Timing(6.0, 3.0), Timing(2.0, 2.0)) == {"wall": 3.0, "processor": 1.5}


def test_the_plain_network_answers_as_ours():
    torch.manual_seed(0)
    network = TipHandleNetwork(NetworkSettings(width=8, head_width=8)).eval()
    for head in (network.heatmap_head, network.offset_head, network.angle_head):
        torch.nn.init.normal_(head.offset.weight, std=0.1)
    image = torch.rand(1, 6, 64, 64)
    with torch.inference_mode():
        heatmap, offset, direction = plain_answers(network, image)
        features = network.features(image)
        expected = [
            network.heatmap_logits(features),
            network.offset_head(features),
            network.angle_head(features),
        ]
    for ours, plain in zip(expected, (heatmap, offset, direction), strict=True):
        torch.testing.assert_close(plain, ours, atol=1e-4, rtol=1e-3)


def test_a_plot_shows_a_curve_and_two_guides(tmp_path):
    write_plot(tmp_path / "plot.png", "Matching", "needles", [5, 50, 200], [1.0, 30.0, 400.0])
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture.shape == (480, 720, 3)
    blue = (picture[..., 0] > 150) & (picture[..., 2] < 60)
    assert blue.sum() > 300
