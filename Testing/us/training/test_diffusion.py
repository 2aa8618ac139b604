"""The tip generator: published noise, a short training that goes on after a stop, and sampling."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from us.training.tip_sets import write_sequences

from needle_backend.core.errors import InputError
from needle_backend.core.weights import DEFAULT_GENERATOR_WEIGHTS, find_weights, load_state
from needle_backend.us.training import train_tips
from needle_backend.us.training.diffusion import (
    TipUNet,
    UNetSettings,
    ddim,
    ddpm,
    dpm_solver,
    sample,
)
from needle_backend.us.training.generate import BATCH, TipOrder, generate_tips
from needle_backend.us.training.train_tips import TipScheduleSettings, TipSettings, read_recipe

RECIPES = Path(train_tips.__file__).parent / "recipes"
TINY = TipSettings(
    UNetSettings(unshuffle=4, channels=(16, 32), attention=(1,), groups=4),
    TipScheduleSettings(steps=6, batch=4, validate_every=3, held_out_share=0.3),
)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("data") / "made", sequences=4, frames=6)


@pytest.fixture(scope="module")
def weights(sequences, tmp_path_factory):
    return train_tips.train_tips(TINY, [sequences], tmp_path_factory.mktemp("run"))


def test_the_noise_is_the_published_one():
    betas = ddpm().betas
    assert len(betas) == 1000
    torch.testing.assert_close(betas[[0, -1]], torch.tensor([1e-4, 0.02]))
    torch.testing.assert_close(betas.diff(), betas.diff().mean().expand(999), atol=1e-7, rtol=0)
    assert ddpm().config.variance_type == "fixed_large"


def test_the_published_recipe_trains_with_the_published_batch_rate_and_loss():
    schedule = read_recipe(RECIPES / "tips_published.toml").schedule
    assert (schedule.batch, schedule.learning_rate, schedule.loss) == (32, 1e-4, "noise")
    assert {schedule.rate_share(step) for step in (0, 35_000, 70_000)} == {1.0}


def test_the_rate_falls_to_its_final_share():
    schedule = TipScheduleSettings(steps=100, final_share=0.1)
    shares = [schedule.rate_share(step) for step in range(101)]
    assert (shares[0], shares[-1]) == pytest.approx((1.0, 0.1))
    assert shares == sorted(shares, reverse=True)


def test_a_recipe_with_an_unknown_loss_is_refused(tmp_path):
    recipe = tmp_path / "tips.toml"
    recipe.write_text('[schedule]\nloss = "hinge"\n')
    with pytest.raises(InputError, match="write noise or velocity"):
        read_recipe(recipe)


def test_the_small_generator_fits_its_weights_file():
    network = TipUNet(read_recipe(RECIPES / "tips_small.toml").network)
    assert sum(value.numel() for value in network.parameters()) <= 4e6


@pytest.mark.parametrize("blending", [0, 8])
def test_the_network_answers_in_the_shape_of_the_patches(blending):
    network = TipUNet(replace(TINY.network, blending=blending))
    assert network(torch.zeros(3, 1, 64, 64), torch.tensor([0, 5, 999])).shape == (3, 1, 64, 64)


def test_what_is_all_noise_is_known_before_any_training():
    noise = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    found = TipUNet(TINY.network)(noise, torch.tensor([999, 999]))
    torch.testing.assert_close(found, noise, atol=0.05, rtol=0)


def test_of_smooth_patches_what_changes_from_pixel_to_pixel_is_known_to_be_noise():
    network = TipUNet(replace(TINY.network, smooth=True))
    change = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1.0
    smooth = torch.linspace(-0.9, 0.9, 64).expand(1, 1, 64, 64)
    step = torch.tensor([50])
    noisy = network.signal[step] * smooth + network.noise[step] * change
    found = network(noisy, step)
    inside = (found * change)[..., 3:-3, 3:-3]
    assert float(inside.mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("sampler", "steps"), [(dpm_solver, 20), (ddim, 20), (ddpm, 1000)])
def test_a_network_that_knows_the_noise_gives_the_patch_back(sampler, steps):
    truth = torch.linspace(-0.9, 0.9, 64).expand(2, 1, 64, 64)
    kept = ddpm().alphas_cumprod

    def knows(noisy, step):
        share = kept[step].view(-1, 1, 1, 1)
        return (noisy - share.sqrt() * truth) / (1 - share).sqrt()

    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(truth.shape, generator=generator)
    found = sample(knows, noise, steps, sampler(), generator)
    torch.testing.assert_close(found, truth, atol=2e-2, rtol=0)


def test_the_default_sampler_takes_little_noise_at_the_end():
    even, shortening = ddim(), dpm_solver()
    for sampler in (even, shortening):
        sampler.set_timesteps(20)
    kept = ddpm().alphas_cumprod
    last = [float((1 - kept[sampler.timesteps[-1]]).sqrt()) for sampler in (even, shortening)]
    assert last[1] < last[0] / 5


def test_the_velocity_weighs_every_noise_step_alike():
    velocity = replace(TINY, schedule=replace(TINY.schedule, loss="velocity"))
    module = train_tips.TipGeneratorModule(velocity)
    signal, noise = module.network.signal, module.network.noise

    def one_off(noisy, step):
        return noisy / noise[step] + signal[step]

    one_off.signal = signal
    error = module._error(one_off, torch.zeros(64, 1, 64, 64), None)
    assert float(error) == pytest.approx(1.0, abs=1e-3)


def test_training_learns_and_goes_on_after_a_stop(sequences, tmp_path, capfd):
    first = train_tips.train_tips(TINY, [sequences], tmp_path)
    before = load_state(first)
    longer = replace(TINY, schedule=replace(TINY.schedule, steps=9))
    after = train_tips.train_tips(longer, [sequences], tmp_path)
    card = json.loads(after.with_suffix(".json").read_text())
    assert card["training"]["steps"] == 9
    assert card["training"]["held_out"]["sequences"] == sorted(
        card["training"]["held_out"]["sequences"]
    )
    assert any(not torch.equal(before[name], value) for name, value in load_state(after).items())
    steps = [line.split()[1] for line in capfd.readouterr().out.splitlines() if "loss " in line]
    assert steps == ["3", "6", "6", "9", "9"]


def test_weights_are_half_precision_with_a_card_of_theirs(weights):
    assert find_weights(str(weights)).card["architecture"]["channels"] == [16, 32]
    assert weights.stat().st_size < 3 * sum(v.numel() for v in load_state(weights).values())


def tips_of(order):
    paths = sorted(path for batch in generate_tips(order) for path in batch)
    return {path.name: path.read_bytes() for path in paths}


def test_the_same_seed_gives_the_same_bytes(weights, tmp_path):
    order = TipOrder(tmp_path / "a", 3, 7, str(weights), steps=2, device="cpu")
    first = tips_of(order)
    assert list(first) == ["tip_00000.png", "tip_00001.png", "tip_00002.png"]
    assert tips_of(replace(order, output=tmp_path / "b")) == first
    assert tips_of(replace(order, output=tmp_path / "c", seed=8)) != first


def test_a_stopped_run_goes_on_and_agrees_with_a_whole_one(weights, tmp_path):
    whole = TipOrder(tmp_path / "whole", BATCH + 2, 7, str(weights), steps=1, device="cpu")
    stopped = replace(whole, output=tmp_path / "stopped", count=5)
    tips_of(stopped)
    assert tips_of(replace(stopped, count=whole.count)) == tips_of(whole)


def test_patches_already_there_are_kept(weights, tmp_path):
    order = TipOrder(tmp_path, 2, 7, str(weights), steps=1, device="cpu")
    tips_of(order)
    for path in tmp_path.iterdir():
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    assert not any(cv2.imread(str(tmp_path / name)).any() for name in tips_of(order))


def test_the_generator_that_comes_along_makes_bright_tips_in_the_middle(tmp_path):
    order = TipOrder(tmp_path, 8, 1, DEFAULT_GENERATOR_WEIGHTS, steps=5, device="cpu")
    paths = [path for batch in generate_tips(order) for path in batch]
    mean = np.mean([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths], axis=0)
    assert mean[24:40, 24:40].mean() > 1.3 * mean[:8].mean()


def test_weights_of_something_else_are_refused(tmp_path):
    order = TipOrder(tmp_path, 1, 7, "ct_hrnet_w18_small", steps=1, device="cpu")
    with pytest.raises(InputError, match="do not describe a tip generator"):
        list(generate_tips(order))


def test_the_published_sampler_takes_all_its_steps(weights, tmp_path):
    order = TipOrder(tmp_path, 1, 7, str(weights), steps=50, sampler="ddpm", device="cpu")
    with pytest.raises(InputError, match="--steps 1000"):
        list(generate_tips(order))
