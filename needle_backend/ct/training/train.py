"""Train a tip-handle network with Lightning: resumable, stops early, exports fp16 weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from needle_backend.core.averaging import averaged_state, move_average
from needle_backend.core.resuming import RECENT, fit_on
from needle_backend.core.settings import read_toml
from needle_backend.core.weights import load_state
from needle_backend.ct.detect import detect_ends
from needle_backend.ct.ends import HANDLE, TIP
from needle_backend.ct.network import NetworkSettings, TipHandleNetwork
from needle_backend.ct.preprocess import InputSettings
from needle_backend.ct.training import losses
from needle_backend.ct.training.dataset import Case, CropDataset, CropSettings, load_cases
from needle_backend.ct.training.export import export_weights
from needle_backend.ct.training.slice_score import SliceScore, score_slices
from needle_backend.ct.training.splits import held_out


@dataclass(frozen=True)
class ScheduleSettings:
    """Optimisation."""

    epochs: int = 12
    crops_an_epoch: int = 4000
    batch: int = 10
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up_share: float = 0.04
    ema_decay: float = 0.998
    patience_epochs: int = 8
    validation_share: float = 0.06
    validation_slices: int = 40
    precision: str = "bf16-mixed"
    seed: int = 1


@dataclass(frozen=True)
class TrainSettings:
    """One model's recipe."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    input: InputSettings = field(default_factory=InputSettings)
    crops: CropSettings = field(default_factory=CropSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)


def read_recipe(path: Path) -> TrainSettings:
    """Read a training recipe from TOML; what it leaves out keeps its default."""
    return read_toml(TrainSettings, path)


class TipHandleModule(L.LightningModule):
    """The network, its loss, and an exponential moving average of its weights for validation."""

    def __init__(self, settings: TrainSettings, validation: Sequence[Case]) -> None:
        super().__init__()
        self.settings = settings
        self.network = TipHandleNetwork(settings.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._validation = list(validation)
        self.steps_this_run = 0

    def start_from(self, state: dict[str, torch.Tensor]) -> None:
        """Replace the random weights, averaged ones too, by trained ones."""
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Weighted loss of one batch."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        features = self.network.features(image)
        cells, offset, direction = _listed(batch["ends"], batch["count"])
        focal = losses.focal_loss(self.network.heatmap_logits(features), batch["heatmap"])
        shift = losses.offset_loss(self.network.offset_at(features, cells), offset)
        angle = losses.angle_loss(self.network.direction_at(features, cells), direction)
        total = (
            losses.FOCAL_WEIGHT * focal + losses.OFFSET_WEIGHT * shift + losses.ANGLE_WEIGHT * angle
        )
        self.log_dict({"focal": focal, "offset": shift, "angle": angle, "loss": total})
        return total

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the current ones; slower once training has settled."""
        self.steps_this_run += 1
        decay = self.settings.schedule.ema_decay
        move_average(self.average, self.network, self.global_step, decay)

    def on_train_epoch_start(self) -> None:
        """Give every epoch its own crops."""
        self.trainer.train_dataloader.dataset.epoch = self.current_epoch

    def validation_step(self, batch: Any, index: int) -> None:
        """Nothing a batch: whole slices are scored at the end of the epoch."""

    def on_validation_epoch_end(self) -> None:
        """Detection F1 of the averaged weights on whole validation slices."""
        scores = validate(self.average, self._validation, self.settings)
        values = {f"val_{name}": value for name, value in scores.items()}
        self.log_dict(values)
        shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(f"epoch {self.current_epoch}  {shown}", flush=True)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a warm-up and a cosine to zero over the whole run."""
        schedule = self.settings.schedule
        optimizer = torch.optim.AdamW(
            self.network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        rates = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            schedule.learning_rate,
            total_steps=steps,
            pct_start=schedule.warm_up_share,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}


def _listed(
    ends: torch.Tensor, count: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From padded (batch, room, 6) rows to cells (m, 3), offsets (m, 2), directions (m, 2)."""
    used = torch.arange(ends.shape[1], device=ends.device)[None] < count[:, None]
    image = torch.nonzero(used)[:, 0]
    rows = ends[used]
    cells = torch.stack([image, rows[:, 0].long(), rows[:, 1].long()], dim=1)
    return cells, rows[:, 2:4], rows[:, 4:6]


def validate(
    network: TipHandleNetwork, cases: Sequence[Case], settings: TrainSettings
) -> dict[str, float]:
    """Score whole slices with labels, spread evenly over the validation cases."""
    places = [(case, k) for case in cases for k in sorted({label.slice for label in case.labels})]
    chosen = np.linspace(0, len(places) - 1, min(settings.schedule.validation_slices, len(places)))
    totals = {TIP: SliceScore(), HANDLE: SliceScore()}
    for index in np.unique(chosen.astype(int)):
        case, k = places[index]
        array = case.array()
        reach = settings.input.neighbours
        first, last = max(0, k - reach), min(len(array), k + reach + 1)
        ends = detect_ends(network, np.asarray(array[first:last]), settings.input, threshold=0.3)
        labels = [label for label in case.labels if label.slice == k]
        on_slice = ends.take(ends.slice_index == k - first)
        for kind in totals:
            totals[kind] += score_slices(on_slice, labels, kind, case.pixel_mm)
    tip, handle = totals[TIP], totals[HANDLE]
    return {
        "f1": 0.5 * (tip.f1 + handle.f1),
        "tip_recall": tip.recall,
        "tip_precision": tip.precision,
        "tip_mae_mm": tip.mae_mm,
        "handle_recall": handle.recall,
        "handle_precision": handle.precision,
        "handle_mae_mm": handle.mae_mm,
        "angle_deg": 0.5 * (tip.angle_deg + handle.angle_deg),
    }


def train(
    settings: TrainSettings,
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
        When the cases are all one patient's: none would be left to validate on.
    """
    cv2.setNumThreads(0)
    schedule = settings.schedule
    L.seed_everything(schedule.seed)
    output.mkdir(parents=True, exist_ok=True)
    cases = load_cases(data, output / "cache")
    fit, held = _split(cases, schedule.validation_share)
    module = TipHandleModule(settings, held)
    if initial is not None:
        module.start_from(load_state(initial))
    crops = CropDataset(fit, settings.crops, settings.input, schedule.crops_an_epoch, schedule.seed)
    loader = DataLoader(crops, schedule.batch, num_workers=1, drop_last=True)
    best = ModelCheckpoint(output, "best", monitor="val_f1", mode="max")
    trainer = _trainer(schedule, output, best, len(loader), max_hours)
    started = time.monotonic()
    fit_on(trainer, module, loader, output)
    facts = {
        "data": [path.name for path in data],
        "cases": len(cases),
        "validation": {"cases": [case.name for case in held], "f1": float(best.best_model_score)},
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "steps_this_run": module.steps_this_run,
        "hours_this_run": round((time.monotonic() - started) / 3600, 2),
    }
    return export_weights(averaged_state(Path(best.best_model_path)), settings, facts, output)


def _trainer(
    schedule: ScheduleSettings,
    output: Path,
    best: ModelCheckpoint,
    steps_an_epoch: int,
    max_hours: float | None,
) -> L.Trainer:
    """A trainer that checkpoints every few minutes and stops early or after some hours."""
    recent = ModelCheckpoint(
        output, Path(RECENT).stem, every_n_train_steps=min(100, steps_an_epoch)
    )
    stop = EarlyStopping("val_f1", mode="max", patience=schedule.patience_epochs)
    limit = [Timer({"hours": max_hours}, interval="epoch")] if max_hours else []
    return L.Trainer(
        max_epochs=schedule.epochs,
        precision=schedule.precision,
        callbacks=[best, recent, stop, *limit],
        logger=TensorBoardLogger(output, name="", version=""),
        gradient_clip_val=5.0,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        default_root_dir=output,
        accelerator="auto",
    )


def _split(cases: Sequence[Case], share: float) -> tuple[list[Case], list[Case]]:
    """Hold out some patients' cases for validation, and train on the others'."""
    held = set(held_out({place: case.patient for place, case in enumerate(cases)}, share))
    kept = [case for place, case in enumerate(cases) if place not in held]
    return kept, [cases[place] for place in sorted(held)]
