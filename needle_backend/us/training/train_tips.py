"""Train the tip generator with Lightning: resumable, exports fp16 weights with a model card."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from needle_backend import __version__
from needle_backend.core.errors import InputError
from needle_backend.core.resuming import RECENT, fit_on
from needle_backend.core.settings import read_toml
from needle_backend.core.weights import hardware, load_state, write_weights
from needle_backend.us.training.diffusion import NOISE_STEPS, TipUNet, UNetSettings, ddpm
from needle_backend.us.training.patches import TipPatches, hold_out, read_patches, to_network

WEIGHTS_NAME = "us_tip_ddpm"
LOSSES = ("noise", "velocity")


@dataclass(frozen=True)
class TipScheduleSettings:
    """Optimisation; learning rate, batch and loss as published.

    Attributes
    ----------
    final_share
        Of the learning rate, what is left of it after a cosine's half wave; 1 keeps it constant.
    loss
        "noise", or "velocity" (Salimans and Ho 2022), which weighs every noise step alike:
        brightness and contrast are settled where nearly all is noise, and the former hardly counts
        those steps.
    held_out_share
        Of the sequences, kept out of training.
    least_contrast
        Simulated tips that stand out less from what is around them are left out.
    """

    steps: int = 7500
    batch: int = 32
    learning_rate: float = 1e-4
    final_share: float = 1.0
    loss: str = "noise"
    ema_decay: float = 0.999
    held_out_share: float = 0.1
    least_contrast: float = 0.0
    validate_every: int = 250
    precision: str = "bf16-mixed"
    seed: int = 1

    def rate_share(self, step: int) -> float:
        """Return the share of the learning rate at a step."""
        wave = (1 + math.cos(math.pi * min(step / self.steps, 1.0))) / 2
        return self.final_share + (1 - self.final_share) * wave


@dataclass(frozen=True)
class TipSettings:
    """One generator's recipe."""

    network: UNetSettings = field(default_factory=UNetSettings)
    schedule: TipScheduleSettings = field(default_factory=TipScheduleSettings)


def read_recipe(path: Path) -> TipSettings:
    """Read a recipe from TOML; what it leaves out keeps its default.

    Raises
    ------
    InputError
        When it cannot be read, or names another loss.
    """
    settings = read_toml(TipSettings, path)
    if settings.schedule.loss not in LOSSES:
        raise InputError(
            f"{path} asks for the loss {settings.schedule.loss!r}; write {' or '.join(LOSSES)}."
        )
    return settings


class TipGeneratorModule(L.LightningModule):
    """The U-Net, the loss of its noise, and a moving average of its weights."""

    def __init__(self, settings: TipSettings) -> None:
        super().__init__()
        self.settings = settings
        self.network = TipUNet(settings.network)
        self.average = AveragedModel(self.network, avg_fn=self._moved).requires_grad_(False)
        self._noise_process = ddpm()

    def start_from(self, state: dict[str, torch.Tensor]) -> None:
        """Replace the random weights, averaged ones too, by trained ones."""
        self.network.load_state_dict(state)
        self.average.module.load_state_dict(state)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Squared error of what is predicted, at a random step for each patch."""
        (patches,) = batch
        loss = self._error(self.network, patches, None)
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the current ones."""
        self.average.update_parameters(self.network)

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        """The same error of the averaged weights on held-out patches, with noise that stays."""
        (patches,) = batch
        generator = torch.Generator(patches.device).manual_seed(index)
        error = self._error(self.average.module, patches, generator)
        self.log("held_out_loss", error, batch_size=len(patches))

    def on_validation_epoch_end(self) -> None:
        """Tell how far it is."""
        losses = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        shown = "  ".join(f"{name} {value:.5f}" for name, value in sorted(losses.items()))
        print(f"step {self.global_step}  {shown}", flush=True)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW, its rate falling to the final share."""
        schedule = self.settings.schedule
        optimizer = torch.optim.AdamW(self.network.parameters(), schedule.learning_rate)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.rate_share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def _error(
        self, network: TipUNet, patches: torch.Tensor, generator: torch.Generator | None
    ) -> torch.Tensor:
        noise = torch.randn(patches.shape, generator=generator, device=patches.device)
        steps = torch.randint(
            NOISE_STEPS, (len(patches),), generator=generator, device=patches.device
        )
        noisy = self._noise_process.add_noise(patches, noise, steps)
        found = network(noisy, steps).float()
        if self.settings.schedule.loss == "noise":
            return functional.mse_loss(found, noise)
        # Noise and velocity, predicted from the same noisy patch, differ by the signal's share.
        return functional.mse_loss(*((value / network.signal[steps]) for value in (found, noise)))

    def _moved(
        self, average: torch.Tensor, current: torch.Tensor, updates: torch.Tensor
    ) -> torch.Tensor:
        # The first, random weights would otherwise stay in the average for thousands of steps.
        decay = min(self.settings.schedule.ema_decay, (1 + int(updates)) / (10 + int(updates)))
        return torch.lerp(current, average, decay)


def train_tips(
    settings: TipSettings,
    data: Sequence[Path],
    output: Path,
    initial: Path | None = None,
    max_hours: float | None = None,
) -> Path:
    """Train and export; run again with the same ``output`` to go on after a stop.

    Returns
    -------
    Path
        The exported weights.

    Raises
    ------
    InputError
        When there are no tips to train on, or all are of one sequence.
    """
    schedule = settings.schedule
    fit, held = hold_out(
        read_patches(data, schedule.least_contrast), schedule.held_out_share, schedule.seed
    )
    output.mkdir(parents=True, exist_ok=True)
    L.seed_everything(schedule.seed)
    module = TipGeneratorModule(settings)
    if initial is not None:
        module.start_from(load_state(initial))
    started = time.monotonic()
    trainer = _trainer(schedule, output, max_hours)
    held_loader = DataLoader(_tensors(held), 4 * schedule.batch)
    loader = DataLoader(_tensors(fit), schedule.batch, shuffle=True)
    fit_on(trainer, module, loader, output, held_loader)
    (final,) = trainer.validate(module, held_loader, verbose=False)
    facts = {
        "data": [path.name for path in data],
        "patches": len(fit),
        "held_out": {"patches": len(held), "sequences": sorted(set(held.sequences))},
        "held_out_loss": final["held_out_loss"],
        "steps": trainer.global_step,
        "hours_this_run": round((time.monotonic() - started) / 3600, 2),
    }
    return _export(module.average.module.state_dict(), settings, facts, output)


def _tensors(patches: TipPatches) -> TensorDataset:
    return TensorDataset(torch.from_numpy(to_network(patches.images)))


def _trainer(schedule: TipScheduleSettings, output: Path, max_hours: float | None) -> L.Trainer:
    recent = ModelCheckpoint(
        output,
        Path(RECENT).stem,
        every_n_train_steps=schedule.validate_every,
        enable_version_counter=False,
    )
    limit = [Timer({"hours": max_hours}, interval="step")] if max_hours else []
    return L.Trainer(
        max_steps=schedule.steps,
        precision=schedule.precision,
        callbacks=[recent, *limit],
        logger=TensorBoardLogger(output, name="", version=""),
        val_check_interval=schedule.validate_every,
        check_val_every_n_epoch=None,
        log_every_n_steps=50,
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        default_root_dir=output,
        accelerator="auto",
    )


def _export(
    state: dict[str, torch.Tensor], settings: TipSettings, facts: dict[str, Any], folder: Path
) -> Path:
    """Write the weights and their model card; return the former's path."""
    card = {
        "task": "ultrasound tip patch generation",
        "version": __version__,
        "architecture": asdict(settings.network),
        "training": {
            **facts,
            "schedule": asdict(settings.schedule),
            "hardware": hardware(),
        },
    }
    return write_weights(folder / f"{WEIGHTS_NAME}.safetensors", state, card)
