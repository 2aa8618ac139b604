"""The tip generator: a denoising diffusion model of tip patches.

Noise schedule and training values are those of Wang et al. 2025 (DDPM, Ho et al. 2020): 1000
steps, betas linear from 1e-4 to 0.02, the network predicts the noise, variance fixed large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DModel,
)
from torch import nn
from torch.nn import functional

from needle_backend.core.errors import InputError
from needle_backend.core.weights import find_weights, load_state
from needle_backend.us.training.patches import PATCH_PX

NOISE_STEPS = 1000
_NOISE = {
    "num_train_timesteps": NOISE_STEPS,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "trailing",
}
_BLENDED_MAPS = 4

Sampler = DDIMScheduler | DDPMScheduler | DPMSolverMultistepScheduler


@dataclass(frozen=True)
class UNetSettings:
    """The U-Net's size.

    Attributes
    ----------
    unshuffle
        Side of the pixel blocks that become channels before the first convolution, and pixels
        again after the last: 4 makes everything sixteen times as fast, 1 leaves the patch as it is.
    channels
        Of each level, from the finest to the coarsest.
    attention
        Which levels look at all places at once, counted from 0.
    layers
        Residual blocks a level.
    groups
        Of the group normalisation.
    blending
        Channels of the convolutions that blend the pixel blocks at full resolution, without which
        a lattice of them shows; 0 for none.
    smooth
        Whether patches are smooth, as tips enlarged to patches are: what changes from pixel to
        pixel is then known to be noise, and need not be learnt.
    """

    unshuffle: int = 4
    channels: tuple[int, ...] = (64, 96, 128)
    attention: tuple[int, ...] = ()
    layers: int = 1
    groups: int = 8
    blending: int = 0
    smooth: bool = False


class TipUNet(nn.Module):
    """Predict the noise in patches (n, 1, 64, 64) at their noise steps (n,).

    Noisy patches are nearly all noise: what is all noise passes by the U-Net, which finds the rest
    (the velocity of Salimans and Ho 2022, equation 8) and so learns in a fraction of the batches.
    """

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        block = settings.unshuffle
        levels = range(len(settings.channels))
        kept = ddpm().alphas_cumprod.view(-1, 1, 1, 1)
        self.register_buffer("signal", kept.sqrt(), persistent=False)
        self.register_buffer("noise", (1 - kept).sqrt(), persistent=False)
        maps = _BLENDED_MAPS if settings.blending else 1
        self.unshuffle = nn.PixelUnshuffle(block)
        self.shuffle = nn.PixelShuffle(block)
        self.smooth = settings.smooth
        self.blend = _blending(maps + 1, settings.blending) if settings.blending else None
        self.unet = UNet2DModel(
            sample_size=PATCH_PX // block,
            in_channels=block**2,
            out_channels=maps * block**2,
            block_out_channels=settings.channels,
            layers_per_block=settings.layers,
            down_block_types=tuple(
                "AttnDownBlock2D" if level in settings.attention else "DownBlock2D"
                for level in levels
            ),
            up_block_types=tuple(
                "AttnUpBlock2D" if level in settings.attention else "UpBlock2D"
                for level in reversed(levels)
            ),
            norm_num_groups=settings.groups,
            attention_head_dim=32,
        )

    def forward(self, noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Return the noise, (n, 1, 64, 64)."""
        blocks = self.unshuffle(noisy).contiguous(memory_format=torch.channels_last)
        velocity = self.shuffle(self.unet(blocks, step, return_dict=False)[0])
        if self.blend is not None:
            seen = torch.cat([noisy, velocity], 1)
            velocity = self.blend(seen.contiguous(memory_format=torch.channels_last))
        found = self.noise[step] * noisy + self.signal[step] * velocity
        if not self.smooth:
            return found
        all_noise = noisy / self.noise[step]
        return all_noise + _smoothed(found - all_noise)


def _smoothed(patches: torch.Tensor) -> torch.Tensor:
    """Take out what changes from pixel to pixel: binomial weights of five pixels each way."""
    smooth = functional.pad(patches, (2, 2, 2, 2), mode="replicate")
    for _ in range(4):
        smooth = (smooth[..., 1:] + smooth[..., :-1]) / 2
        smooth = (smooth[..., 1:, :] + smooth[..., :-1, :]) / 2
    return smooth


def _blending(inside: int, channels: int) -> nn.Sequential:
    # Zeros beyond the edge would be taken for dark tissue: the outermost pixels would stay noisy.
    edge = {"padding": 1, "padding_mode": "replicate"}
    return nn.Sequential(
        nn.Conv2d(inside, channels, 3, **edge),
        nn.SiLU(),
        nn.Conv2d(channels, channels, 3, **edge),
        nn.SiLU(),
        nn.Conv2d(channels, 1, 3, **edge),
    )


def ddpm() -> DDPMScheduler:
    """Return the noise process, and its ancestral sampler with the fixed-large variance."""
    return DDPMScheduler(**_NOISE, variance_type="fixed_large")


def ddim() -> DDIMScheduler:
    """Return the deterministic sampler of even steps (Song et al. 2021)."""
    return DDIMScheduler(**_NOISE)


def dpm_solver() -> DPMSolverMultistepScheduler:
    """Return the deterministic sampler for few steps: DPM-Solver++ (Lu et al. 2022).

    Its steps shorten with the noise that is left (Karras et al. 2022, equation 5). Of twenty even
    ones the last would take all the noise of fifty at once, and leave grain and ragged edges.
    """
    return DPMSolverMultistepScheduler(**_NOISE, use_karras_sigmas=True)


@torch.inference_mode()
def sample(
    network: TipUNet,
    noise: torch.Tensor,
    steps: int,
    sampler: Sampler,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Turn noise into patches.

    Parameters
    ----------
    noise
        Normal, (n, 1, 64, 64).
    steps
        How many of the 1000 noise steps to visit.
    sampler
        :func:`dpm_solver`, :func:`ddim` or :func:`ddpm`.
    generator
        Of the noise that DDPM adds on its way.

    Returns
    -------
    torch.Tensor
        (n, 1, 64, 64), about [-1, 1].
    """
    sampler.set_timesteps(steps)
    patches = noise
    for step in sampler.timesteps:
        predicted = network(patches, step.expand(len(patches)).to(patches.device))
        patches = sampler.step(predicted, step, patches, generator=generator).prev_sample
    return patches


@lru_cache(maxsize=1)
def load_generator(name_or_path: str, device: str) -> TipUNet:
    """Load a trained generator by name or path, ready to sample from.

    Raises
    ------
    InputError
        When there are no such weights, or they are no tip generator's.
    """
    weights = find_weights(name_or_path)
    try:
        network = TipUNet(settings_of(weights.card["architecture"]))
        network.load_state_dict(load_state(weights.path))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{weights.path} and its model card do not describe a tip generator."
        ) from error
    return network.eval().to(device, memory_format=torch.channels_last)


def settings_of(card: dict[str, Any]) -> UNetSettings:
    """Return the U-Net's size as a model card tells it."""
    return UNetSettings(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in card.items()}
    )
