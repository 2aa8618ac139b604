"""`needles evaluate ct`: compare predicted needles with the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.evaluate_tips import blindtest, tips

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _evaluate() -> None:
    """Compare predictions with the truth."""


app.command()(tips)
app.command()(blindtest)


@app.command()
def ct(
    truth: Annotated[Path, typer.Option(help="A truth.json, or a folder of cases that hold one.")],
    predicted: Annotated[
        Path, typer.Option(help="A .mrk.json, or a folder of cases with needles.mrk.json.")
    ],
    gate: Annotated[
        float, typer.Option(min=0, help="A needle is found when both ends are this near, mm.")
    ] = 5.0,
) -> None:
    """Print precision, recall, F1 and errors of needles in CT, as JSON."""
    from needle_backend.ct.training.evaluate import evaluate_path

    typer.echo(json.dumps(evaluate_path(truth, predicted, gate), indent=1))
