"""Last stage of TipDet: the attention over keyframes that judges candidates again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from needle_backend.core.averaging import averaged_state, move_average
from needle_backend.core.resuming import RECENT, fit_on
from needle_backend.us.tipdet import judged
from needle_backend.us.tipdet_network import KeyframeAttention, TwoStream
from needle_backend.us.training.evaluate import ComparedFrame, average_precision
from needle_backend.us.training.rescoring_set import Moments, RescoringSet, see_sequences
from needle_backend.us.training.train import HISTORY, HistoryFile
from needle_backend.us.training.train_two_stream import MotionPart, surest_box

TRUST = (0.25, 0.5, 0.75, 1.0)
"""Shares of what the attention adds to a logit that are tried in the end."""


@dataclass(frozen=True)
class RescoringSettings:
    """Optimisation of the attention.

    Attributes
    ----------
    sequence_share
        Share of each set's sequences, the last ones, that only this stage learns from: on those
        that the streams learnt from they are surer than they will ever be again.
    forgotten_share
        Share of the keyframes that are left out at random.
    """

    sequence_share: float = 0.4
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    dropout: float = 0.2
    forgotten_share: float = 0.2
    ema_decay: float = 0.998
    patience_epochs: int = 8
    seed: int = 1


class RescoringModule(L.LightningModule):
    """The attention, its loss, and an average of its weights for validation."""

    def __init__(
        self,
        settings: RescoringSettings,
        held: RescoringSet,
        earlier: KeyframeAttention | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = KeyframeAttention(settings.dropout)
        if earlier is not None:
            self.network.load_state_dict(earlier.state_dict())
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._held = held

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Cross entropy of each candidate's confidence."""
        logits = self.network(*(batch[name] for name in ("numbers", "here", "around", "ages_s")))
        loss = F.binary_cross_entropy_with_logits(logits, batch["right"])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the current ones."""
        move_average(self.average, self.network, self.global_step, self.settings.ema_decay)

    def validation_step(self, batch: Any, index: int) -> None:
        """Nothing a batch: whole sequences are scored at the end of the epoch."""

    def on_validation_epoch_end(self) -> None:
        """Average precision on the sequences held out, with and without the second look."""
        self.average.eval()
        for name, attention in (("val_ap", self.average), ("val_ap_before", None)):
            precision = average_precision(compared(self._held, attention))
            self.log(name, float(np.mean(list(precision.values()))))

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a cosine over the whole run."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": falling, "interval": "step"},
        }


@torch.inference_mode()
def compared(seen: RescoringSet, attention: KeyframeAttention | None) -> list[ComparedFrame]:
    """Return every frame's surest box beside its tips; without attention as the streams see it.

    Frames go the way that a stream does: no keyframe, no second look.
    """
    frames = []
    for moment in seen.moments:
        confidence = moment.candidates.confidence
        if attention is not None and moment.keyframes:
            view, *keyframes = torch.from_numpy(
                seen.views[[moment.view, *moment.keyframes]]
            ).float()
            confidence = judged(attention, moment.candidates, view[None], keyframes, moment.ages_s)
        side = seen.side_px
        frames.append(surest_box(moment.candidates.boxes, confidence, moment.tips, side))
    return frames


def trusted(attention: KeyframeAttention, held: RescoringSet) -> tuple[KeyframeAttention, float]:
    """Let an attention change confidences by no more than it is worth on sequences held out.

    It is too sure of what it learnt. Frames without a keyframe keep the confidence that they have,
    which must still compare with that of the others.

    Returns
    -------
    tuple
        The attention with the best of the shares in :data:`TRUST`, and its average precision.
    """
    best, most = attention, -1.0
    for share in TRUST:
        tried = copy.deepcopy(attention)
        for value in tried.judge[-1].parameters():
            value.data *= share
        precision = float(np.mean(list(average_precision(compared(held, tried)).values())))
        if precision > most:
            best, most = tried, precision
    return best, most


def train_rescoring(
    settings: RescoringSettings,
    streams: TwoStream,
    fit: Sequence[MotionPart],
    held: Sequence[MotionPart],
    output: Path,
    earlier: KeyframeAttention | None = None,
) -> tuple[KeyframeAttention, dict[str, Any]]:
    """Train what judges candidates again; run again with the same ``output`` after a stop.

    It begins as ``earlier``, where that is given.

    Returns
    -------
    tuple
        The attention of the best epoch, in evaluation mode, and facts for the card.
    """
    output.mkdir(parents=True, exist_ok=True)
    L.seed_everything(settings.seed, verbose=False)
    seen = see_sequences(streams, fit, output / "views_fit.npy")
    seen_held = see_sequences(streams, held, output / "views_held.npy")
    moments = Moments(seen, settings.forgotten_share, settings.seed)
    module = RescoringModule(settings, seen_held, earlier)
    best = ModelCheckpoint(output, "best", monitor="val_ap", mode="max")
    trainer = L.Trainer(
        max_epochs=settings.epochs,
        callbacks=[
            best,
            ModelCheckpoint(output, Path(RECENT).stem, every_n_epochs=1),
            EarlyStopping("val_ap", mode="max", patience=settings.patience_epochs),
            HistoryFile(output / HISTORY),
        ],
        logger=False,
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=output,
        accelerator="cpu",
    )
    loader = DataLoader(moments, min(settings.batch, len(moments)), shuffle=True, drop_last=True)
    fit_on(trainer, module, loader, output)
    attention = KeyframeAttention().eval()
    attention.load_state_dict(averaged_state(Path(best.best_model_path)))
    attention, precision = trusted(attention, seen_held)
    facts = {
        "frames": len(moments),
        "epochs": trainer.current_epoch,
        "validation_ap_01_05": round(precision, 4),
    }
    return attention, facts
