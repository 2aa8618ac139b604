"""`needles experiment`: the paper's comparisons, on one's own data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.extras import training_packages

app = typer.Typer(no_args_is_help=True)


class Name(StrEnum):
    """The experiments."""

    STRATEGIES = "strategies"
    TIPS = "tips"
    FEW_REAL = "few-real"
    ABLATIONS = "ablations"


class Size(StrEnum):
    """How large they are."""

    SMALL = "small"
    FULL = "full"


@app.callback()
def _experiment() -> None:
    """Compare ways of training."""


@app.command()
def us(
    name: Annotated[
        Name,
        typer.Argument(
            help="strategies (P, D, no synthetic images), tips (how many to fuse), few-real, "
            "ablations."
        ),
    ],
    init: Annotated[Path, typer.Option(help="YOLOX-Nano's weights (MS COCO) to start from.")],
    real: Annotated[Path, typer.Option(help="Labelled punctures to train on.")],
    validation: Annotated[Path, typer.Option(help="Labelled punctures to stop by.")],
    test: Annotated[Path, typer.Option(help="Labelled punctures to report on.")],
    backgrounds: Annotated[Path, typer.Option(help="Folder of needle-free images.")],
    tips: Annotated[Path, typer.Option(help="Folder of generated tip patches.")],
    output: Annotated[Path, typer.Option(help="Folder for trials and tables; may be shared.")],
    size: Annotated[Size, typer.Option(help="small fits two CPU cores; full wants a GPU.")] = (
        Size.SMALL
    ),
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
) -> None:
    r"""Train and test every model of an experiment; run it again after a stop, and it goes on.

    Needs the training packages: pip install 'needle-backend\[train]'.
    """
    with training_packages("An experiment"):
        from needle_backend.us.training.experiments import Sources, run_experiment
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    sources = Sources(init, real, validation, test, backgrounds, tips)
    table = run_experiment(name.value, size.value, sources, output)
    typer.echo(table.read_text(encoding="utf-8"))
    typer.echo(f"Table: {table}; every figure: {table.with_suffix('.json')}")
