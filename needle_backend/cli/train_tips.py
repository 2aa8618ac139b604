"""`needles train tips`: train the generator of tip patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.extras import training_packages

DEFAULT_RECIPE = Path(__file__).resolve().parents[1] / "us/training/recipes/tips_small.toml"


def tips(
    data: Annotated[
        list[Path],
        typer.Option(help="Labelled images (COCO) or folder of simulated sequences; repeat."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for checkpoints, curves and weights.")],
    config: Annotated[
        Path,
        typer.Option(help="TOML recipe; the default suits a CPU, tips_published.toml a GPU."),
    ] = DEFAULT_RECIPE,
    init: Annotated[Path | None, typer.Option(help="Weights to start from (fine-tuning).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after this long.")] = None,
) -> None:
    r"""Train the diffusion model of tip patches; run it again to go on after a stop.

    Needs the training packages: pip install 'needle-backend\[train]'.
    """
    with training_packages("Training"):
        from needle_backend.us.training.train_tips import read_recipe, train_tips
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    weights = train_tips(read_recipe(config), data, output, init, max_hours)
    typer.echo(f"Trained weights and their model card: {weights}")
