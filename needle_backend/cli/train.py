"""`needles train`: train a network on simulated cases, or on one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.extras import training_packages
from needle_backend.cli.train_pairs import pairs
from needle_backend.cli.train_tipdet import tipdet
from needle_backend.cli.train_tips import tips

app = typer.Typer(no_args_is_help=True)

_PACKAGE = Path(__file__).resolve().parents[1]
DEFAULT_RECIPE = _PACKAGE / "ct/training/recipes/hrnet_w18_small.toml"
DEFAULT_US_RECIPE = _PACKAGE / "us/training/recipes/yolot_cpu.toml"


@app.callback()
def _train() -> None:
    """Train networks."""


app.command()(tips)
app.command()(tipdet)
app.command()(pairs)


@app.command()
def ct(
    data: Annotated[
        list[Path], typer.Option(help="Folder of cases (case_000/ct.nii.gz, truth.json); repeat.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for checkpoints, curves and weights.")],
    config: Annotated[
        Path, typer.Option(help="TOML recipe; the default is the shipped small network's.")
    ] = DEFAULT_RECIPE,
    init: Annotated[Path | None, typer.Option(help="Weights to start from (fine-tuning).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after this long.")] = None,
) -> None:
    r"""Train the tip-handle network; run it again with the same --output to go on after a stop.

    Needs the training packages: pip install 'needle-backend\[train]'.
    """
    with training_packages("Training"):
        from needle_backend.ct.training.train import read_recipe, train
    _compute_on(threads)
    weights = train(read_recipe(config), data, output, init, max_hours)
    typer.echo(f"Trained weights and their model card: {weights}")


@app.command()
def us(
    data: Annotated[
        list[Path],
        typer.Option(help="Labelled set (COCO, or simulated sequences); repeat to mix sets."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for checkpoints, curves and weights.")],
    validation: Annotated[
        list[Path] | None,
        typer.Option(help="Labelled set to stop by; the last tenth of each --data otherwise."),
    ] = None,
    config: Annotated[
        Path, typer.Option(help="TOML recipe; the default fits one CPU core.")
    ] = DEFAULT_US_RECIPE,
    init: Annotated[
        Path | None, typer.Option(help="Weights to start from: YOLOX-Nano's (MS COCO) or YOLOT's.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after this long.")] = None,
) -> None:
    r"""Train the tip detector; run it again with the same --output to go on after a stop.

    Needs the training packages: pip install 'needle-backend\[train]'.
    """
    with training_packages("Training"):
        from needle_backend.us.training.dataset import DataSource
        from needle_backend.us.training.train import read_recipe, train
    _compute_on(threads)
    sources = [DataSource(folder) for folder in data]
    weights = train(read_recipe(config), sources, output, validation or (), init, max_hours)
    typer.echo(f"Trained weights and their model card: {weights}")


def _compute_on(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
