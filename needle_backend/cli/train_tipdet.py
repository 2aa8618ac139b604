"""`needles train tipdet`: train the tip detector of streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.extras import training_packages

DEFAULT_RECIPE = Path(__file__).resolve().parents[1] / "us/training/recipes/tipdet_cpu.toml"


def tipdet(
    data: Annotated[
        list[Path], typer.Option(help="Folder of simulated sequences (sequence_000...); repeat.")
    ],
    validation: Annotated[
        list[Path], typer.Option(help="Folder of other sequences, to stop and choose by; repeat.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for checkpoints, curves and weights.")],
    config: Annotated[
        Path, typer.Option(help="TOML recipe; the default fits one CPU core.")
    ] = DEFAULT_RECIPE,
    init: Annotated[
        str | None, typer.Option(help="YOLOT's weights to start from, by name or file.")
    ] = None,
    go_on_from: Annotated[
        str | None,
        typer.Option(help="TipDet, by name or file: all but the YOLOT inside begins as there."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    max_hours: Annotated[
        float | None, typer.Option(help="Stop training the two streams after this long.")
    ] = None,
) -> None:
    r"""Train TipDet's two streams and its keyframe attention; run it again to go on after a stop.

    Needs the training packages: pip install 'needle-backend\[train]'.
    """
    from needle_backend.core.settings import read_toml

    with training_packages("Training"):
        from needle_backend.us.training.train_tipdet import TipDetSettings, train_tipdet
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    settings = read_toml(TipDetSettings, config)
    weights = train_tipdet(settings, data, validation, output, init, max_hours, go_on_from)
    typer.echo(f"Trained weights and their model card: {weights}")
