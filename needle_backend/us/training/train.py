"""Train YOLOT with Lightning: resumable, stops early, exports fp16 weights with a card."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset

from needle_backend.core.averaging import averaged_state, mean_state, move_average
from needle_backend.core.errors import InputError
from needle_backend.core.files import written_whole
from needle_backend.core.resuming import RECENT, fit_on
from needle_backend.core.settings import read_toml
from needle_backend.us.network import Yolot, decode
from needle_backend.us.preprocess import normalised
from needle_backend.us.training.dataset import (
    AugmentSettings,
    DataSource,
    EpochOrder,
    ImageSet,
    TipImages,
    load_set,
    split_images,
)
from needle_backend.us.training.export import export_weights
from needle_backend.us.training.losses import image_losses
from needle_backend.us.training.validate import validate
from needle_backend.us.weights import check_input_px, start_state

HISTORY = "history.json"
_STEPS_BETWEEN_CHECKPOINTS = 50


@dataclass(frozen=True)
class ScheduleSettings:
    """Optimisation; the defaults are the published ones (Wang et al. 2025).

    Attributes
    ----------
    images_an_epoch
        0 takes every image once.
    warm_up_epochs
        The learning rate grows over these, then falls as a cosine to ``last_rate_share`` of it.
    validation_share
        Of each set, where no validation set is given.
    start_share
        What is written is the mean of the trained weights and, with this share, those it started
        from.
    """

    epochs: int = 100
    images_an_epoch: int = 0
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    warm_up_epochs: float = 3.0
    last_rate_share: float = 0.01
    ema_decay: float = 0.998
    patience_epochs: int = 20
    validation_share: float = 0.1
    start_share: float = 0.0
    precision: str = "32-true"
    workers: int = 1
    seed: int = 1


@dataclass(frozen=True)
class TrainSettings:
    """One model's recipe; ``input_px`` is the side of the square that the network sees."""

    input_px: int = 640
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)


def read_recipe(path: Path) -> TrainSettings:
    """Read a training recipe from TOML; what it leaves out keeps its default.

    Raises
    ------
    InputError
        When the file cannot be read, or sets something that does not exist or is not possible.
    """
    settings = read_toml(TrainSettings, path)
    check_input_px(settings.input_px)
    return settings


Part = tuple[ImageSet, Sequence[int]]
"""A set and which of its images are meant."""


class YolotModule(L.LightningModule):
    """The network, its loss, and an exponential moving average of its weights for validation."""

    def __init__(self, settings: TrainSettings, names: Sequence[str], held: Sequence[Part]) -> None:
        super().__init__()
        self.settings = settings
        self.network = Yolot().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.steps_this_run = 0
        self._names = names
        self._held = held

    def start_from(self, state: dict[str, torch.Tensor]) -> None:
        """Replace the random weights, averaged ones too."""
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Loss of one batch; that of each set is logged by itself."""
        grey = normalised(batch["square"]).contiguous(memory_format=torch.channels_last)
        answers = decode(self.network(grey))
        losses = image_losses(answers, batch["tips"], batch["count"])
        for number, name in enumerate(self._names):
            of_set = batch["set"] == number
            if of_set.any():
                loss = losses.total(of_set).detach()
                size = int(of_set.sum())
                self.log(f"loss_{name}", loss, on_step=False, on_epoch=True, batch_size=size)
        return losses.total()

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the current ones; slower once training has settled."""
        self.steps_this_run += 1
        decay = self.settings.schedule.ema_decay
        move_average(self.average, self.network, self.global_step, decay)

    def validation_step(self, batch: Any, index: int) -> None:
        """Nothing a batch: whole sets are scored at the end of the epoch."""

    def on_validation_epoch_end(self) -> None:
        """Average precision of the averaged weights on the images held out."""
        scores = validate(self.average, self._held)
        self.log("val_ap", scores.ap, prog_bar=True)
        self.log_dict({f"val_loss_{name}": loss for name, loss in scores.loss_of_set.items()})

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam with a warm-up and a cosine over the whole run."""
        steps = int(self.trainer.estimated_stepping_batches)
        return optimizer_plan(self.network, self.settings.schedule, steps)


def optimizer_plan(network: nn.Module, schedule: ScheduleSettings, steps: int) -> dict[str, Any]:
    """Return Adam with a warm-up and a cosine over some steps, for what of a network may learn."""
    learning = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(
        learning, schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    warm_up = min(steps - 1, round(steps * schedule.warm_up_epochs / schedule.epochs))
    rates = torch.optim.lr_scheduler
    parts = [
        rates.LinearLR(optimizer, 0.01, total_iters=max(1, warm_up)),
        rates.CosineAnnealingLR(
            optimizer, steps - warm_up, schedule.learning_rate * schedule.last_rate_share
        ),
    ]
    joined = rates.SequentialLR(optimizer, parts, [max(1, warm_up)])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": joined, "interval": "step"}}


class HistoryFile(L.Callback):
    """Writes one row an epoch: the losses of every set and the validation."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Add the epoch's row; one of the same epoch, of a run that was stopped, is replaced."""
        row = {"epoch": trainer.current_epoch, "steps": trainer.global_step}
        for name, value in sorted(trainer.callback_metrics.items()):
            row[name] = round(float(value), 5)
        rows = [old for old in read_history(self._path) if old["epoch"] < row["epoch"]]
        with written_whole(self._path) as temporary:
            temporary.write_text(json.dumps([*rows, row], indent=1) + "\n", encoding="utf-8")
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def read_history(path: Path) -> list[dict[str, float]]:
    """Read the rows of a run so far; none when it has not begun."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def train(
    settings: TrainSettings,
    data: Sequence[DataSource],
    output: Path,
    validation: Sequence[Path] = (),
    initial: Path | None = None,
    max_hours: float | None = None,
    cache: Path | None = None,
) -> Path:
    """Train and export; run again with the same ``output`` to go on after a stop.

    Parameters
    ----------
    data
        Labelled sets, mixed image by image.
    output
        Folder for checkpoints, ``history.json`` and the weights.
    validation
        Labelled sets to stop and choose by; without them the last images of each of ``data``.
    initial
        YOLOX-Nano's or YOLOT's weights to start from.
    cache
        Where the squares are kept; in ``output`` when not given.

    Returns
    -------
    Path
        The exported weights.

    Raises
    ------
    InputError
        When a set cannot be used, or shows no tip to learn or to validate.
    """
    cv2.setNumThreads(0)
    schedule = settings.schedule
    L.seed_everything(schedule.seed, verbose=False)
    output.mkdir(parents=True, exist_ok=True)
    fit, held = _parts(settings, data, validation, cache or output / "cache")
    names = [images.name for images, _ in fit]
    module = YolotModule(settings, names, held)
    loaded: frozenset[str] = frozenset()
    if initial is not None:
        state, loaded = start_state(initial)
        module.start_from(state)
    images = TipImages(fit, settings.augment, schedule.seed)
    loader = epochs_of(images, schedule)
    best = ModelCheckpoint(output, "best", monitor="val_ap", mode="max")
    trainer = make_trainer(schedule, output, best, len(loader), max_hours)
    started = time.monotonic()
    fit_on(trainer, module, loader, output)
    facts = {
        "data": {images.name: len(used) for images, used in fit},
        "start": None if initial is None else f"{initial.name}, {len(loaded)} tensors",
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "steps_this_run": module.steps_this_run,
        "hours_this_run": round((time.monotonic() - started) / 3600, 2),
        "validation": {
            "images": {images.name: len(used) for images, used in held},
            "ap_01_05": float(best.best_model_score),
        },
    }
    state = averaged_state(Path(best.best_model_path))
    if initial is not None:
        state = mean_state(start_state(initial)[0], state, schedule.start_share)
    return export_weights(state, settings, held, facts, output)


def _parts(
    settings: TrainSettings, data: Sequence[DataSource], validation: Sequence[Path], cache: Path
) -> tuple[list[Part], list[Part]]:
    """Return the parts to train and to validate on."""
    sets = [load_set(source.folder, settings.input_px, cache) for source in data]
    fit: list[Part] = [
        (images, source.chosen(len(images))) for images, source in zip(sets, data, strict=True)
    ]
    if validation:
        whole = [load_set(folder, settings.input_px, cache) for folder in validation]
        held: list[Part] = [(images, range(len(images))) for images in whole]
    else:
        share = settings.schedule.validation_share
        splits = [split_images(chosen, share) for _, chosen in fit]
        fit = [(images, split[0]) for images, split in zip(sets, splits, strict=True)]
        held = [(images, split[1]) for images, split in zip(sets, splits, strict=True)]
    for purpose, parts in (("train", fit), ("validate", held)):
        if not any(len(images.boxes[index]) for images, used in parts for index in used):
            raise InputError(f"There is no tip to {purpose} on; give a set that shows some.")
    return fit, held


def epochs_of(images: Dataset[Any], schedule: ScheduleSettings) -> DataLoader[Any]:
    """Return batches of images, in another order in every epoch."""
    order = EpochOrder(len(images), schedule.images_an_epoch, schedule.seed)
    return DataLoader(
        images,
        min(schedule.batch, len(order)),
        sampler=order,
        num_workers=schedule.workers,
        drop_last=True,
    )


def make_trainer(
    schedule: ScheduleSettings,
    output: Path,
    best: ModelCheckpoint,
    steps_an_epoch: int,
    max_hours: float | None,
) -> L.Trainer:
    """A trainer that checkpoints every few minutes and stops early or after some hours."""
    steps = min(_STEPS_BETWEEN_CHECKPOINTS, steps_an_epoch)
    recent = ModelCheckpoint(output, Path(RECENT).stem, every_n_train_steps=steps)
    stop = EarlyStopping("val_ap", mode="max", patience=schedule.patience_epochs)
    limit = [Timer({"hours": max_hours}, interval="epoch")] if max_hours else []
    return L.Trainer(
        max_epochs=schedule.epochs,
        precision=schedule.precision,
        callbacks=[best, recent, stop, HistoryFile(output / HISTORY), *limit],
        logger=TensorBoardLogger(output, name="", version=""),
        gradient_clip_val=5.0,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=output,
        accelerator="auto",
        log_every_n_steps=10,
    )
