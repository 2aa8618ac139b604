"""`needles train pairs`: train the second look at pairs of ends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pairs(
    data: Annotated[
        list[Path],
        typer.Option(help="Folder of cases that the detector was not trained on; repeat."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for detections and weights.")],
    weights: Annotated[
        str | None, typer.Option(help="The detector's weights; the shipped ones by default.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
) -> None:
    """Train the network that tells needles from wrong pairs, and puts their ends right."""
    from needle_backend.ct.training.train_pairs import train_pairs

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    trained = train_pairs(data, output, weights, typer.echo)
    typer.echo(f"Trained weights and their model card: {trained}")
