"""Second stage of TipDet: the stream of motion, its join with the frame, and heads for both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint

from needle_backend.core.averaging import averaged_state, move_average
from needle_backend.core.resuming import fit_on
from needle_backend.us.candidates import candidates_of
from needle_backend.us.network import decode
from needle_backend.us.preprocess import normalised
from needle_backend.us.tipdet_network import Sight, TwoStream, motion_input
from needle_backend.us.training.dataset import AugmentSettings
from needle_backend.us.training.evaluate import ComparedFrame, average_precision
from needle_backend.us.training.losses import image_losses
from needle_backend.us.training.motion_set import MotionSet, MovingImages
from needle_backend.us.training.train import (
    ScheduleSettings,
    epochs_of,
    make_trainer,
    optimizer_plan,
)
from needle_backend.us.training.validate import BATCH

MotionPart = tuple[MotionSet, Sequence[int]]
"""A set and which of its sequences are meant."""


class TwoStreamModule(L.LightningModule):
    """The network, its loss, and an exponential moving average of its weights for validation."""

    def __init__(
        self,
        schedule: ScheduleSettings,
        start: dict[str, torch.Tensor],
        held: Sequence[MotionPart],
        earlier: TwoStream | None = None,
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.network = TwoStream().to(memory_format=torch.channels_last)
        if earlier is None:
            self.network.start_from(start)
        else:
            self.network.load_state_dict(earlier.state_dict())
            self.network.image.load_state_dict(start)
        self.network.image.requires_grad_(False)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._held = held

    def train(self, mode: bool = True) -> TwoStreamModule:
        """Switch to training; YOLOT inside stays as it is, its running averages too."""
        super().train(mode)
        self.network.image.eval()
        self.average.eval()
        return self

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Loss of the boxes, and of telling whether the needle moves."""
        sight = look(self.network, batch["square"], batch["motion"])
        boxes = image_losses(decode(sight.maps), batch["tips"], batch["count"]).total()
        moving = F.binary_cross_entropy_with_logits(sight.moving.float(), batch["moving"])
        self.log("loss_boxes", boxes, on_step=False, on_epoch=True)
        self.log("loss_moving", moving, on_step=False, on_epoch=True)
        return boxes + moving

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the current ones; slower once training has settled."""
        move_average(self.average, self.network, self.global_step, self.schedule.ema_decay)

    def validation_step(self, batch: Any, index: int) -> None:
        """Nothing a batch: whole sequences are scored at the end of the epoch."""

    def on_validation_epoch_end(self) -> None:
        """Average precision of the averaged weights on the sequences held out."""
        frames, right = [], []
        for images, used in self._held:
            for sight, chosen in sights(self.average, images, frames_of(images, used)):
                frames += compared(sight, images, chosen)
                right.append((sight.moving > 0).cpu().numpy() == images.moving[chosen])
        precision = average_precision(frames)
        self.log("val_ap", float(np.mean(list(precision.values()))), prog_bar=True)
        self.log("val_moving_right", float(np.concatenate(right).mean()))

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam with a warm-up and a cosine over the whole run."""
        steps = int(self.trainer.estimated_stepping_batches)
        return optimizer_plan(self.network, self.schedule, steps)


def look(network: TwoStream, squares: torch.Tensor, motion: torch.Tensor) -> Sight:
    """Look at uint8 squares (n, side, side) and their motion (n, side, side, 3)."""
    as_images = torch.channels_last
    grey = normalised(squares).contiguous(memory_format=as_images)
    return network(grey, motion_input(motion).contiguous(memory_format=as_images))


@torch.inference_mode()
def sights(
    network: TwoStream, images: MotionSet, chosen: Sequence[int]
) -> Iterator[tuple[Sight, list[int]]]:
    """Yield what a network in evaluation mode sees in some frames, some at a time."""
    squares, motion = images.images.squares(), images.motion()
    device = next(network.parameters()).device
    for start in range(0, len(chosen), BATCH):
        part = list(chosen[start : start + BATCH])
        of_part = (torch.from_numpy(values[part]).to(device) for values in (squares, motion))
        yield look(network, *of_part), part


def frames_of(images: MotionSet, sequences: Sequence[int]) -> list[int]:
    """Return the frames of some sequences."""
    return [frame for number in sequences for frame in images.sequences[number]]


def compared(sight: Sight, images: MotionSet, chosen: Sequence[int]) -> Iterator[ComparedFrame]:
    """Yield the surest boxes of frames beside their tips."""
    side = images.images.squares().shape[-1]
    for candidates, index in zip(candidates_of(sight.maps), chosen, strict=True):
        tips = images.images.boxes[index]
        yield surest_box(candidates.boxes, candidates.confidence, tips, side)


def surest_box(
    boxes: torch.Tensor, confidence: torch.Tensor, tips: np.ndarray, side_px: int
) -> ComparedFrame:
    """Put the surest of the boxes (m, 4) beside the tips (n, 4), all by their centres."""
    best = int(confidence.argmax())
    found, true = (
        np.column_stack([one[:, :2] - one[:, 2:] / 2, one[:, 2:]])
        for one in (boxes[best : best + 1].cpu().numpy(), tips)
    )
    score = confidence[best : best + 1].cpu().numpy()
    return ComparedFrame((side_px, side_px), true, found, score)


def train_two_stream(
    schedule: ScheduleSettings,
    augment: AugmentSettings,
    start: dict[str, torch.Tensor],
    fit: Sequence[MotionPart],
    held: Sequence[MotionPart],
    output: Path,
    max_hours: float | None = None,
    earlier: TwoStream | None = None,
) -> tuple[TwoStream, dict[str, Any]]:
    """Train from YOLOT's weights; run again with the same ``output`` to go on after a stop.

    All but YOLOT begins as in ``earlier``, where that is given.

    Returns
    -------
    tuple
        The network of the best epoch, in evaluation mode, and facts for its card.
    """
    output.mkdir(parents=True, exist_ok=True)
    L.seed_everything(schedule.seed, verbose=False)
    module = TwoStreamModule(schedule, start, held, earlier)
    images = MovingImages(
        [(one, frames_of(one, used)) for one, used in fit], augment, schedule.seed
    )
    loader = epochs_of(images, schedule)
    best = ModelCheckpoint(output, "best", monitor="val_ap", mode="max")
    trainer = make_trainer(schedule, output, best, len(loader), max_hours)
    fit_on(trainer, module, loader, output)
    network = TwoStream().eval()
    network.load_state_dict(averaged_state(Path(best.best_model_path)))
    facts = {
        "frames": len(images),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "validation_ap_01_05": round(float(best.best_model_score), 4),
    }
    return network, facts
