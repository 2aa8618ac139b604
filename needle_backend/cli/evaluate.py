"""`needles evaluate`: compare predicted needles and tips with the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.evaluate_tips import blindtest, tips
from needle_backend.cli.extras import training_packages

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


@app.command()
def us(
    truth: Annotated[
        Path,
        typer.Option(
            help="A folder of sequences (sequence_000/truth.json), one of them, or a labelled set "
            "(annotations.json)."
        ),
    ],
    predicted: Annotated[
        Path,
        typer.Option(
            help="A tips.csv, or a folder with sequence_000/tips.csv or sequence_000.csv."
        ),
    ],
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Rows with less confidence count as lost.")
    ] = 0.0,
) -> None:
    r"""Print average precision, errors and misses of needle tips in ultrasound, as JSON.

    AP counts every row, whatever the threshold here: for the whole curve let needles track write
    the unsure ones too (--threshold 0.01). Needs the training packages:
    pip install 'needle-backend\[train]'.
    """
    from needle_backend.us.training.evaluate_files import evaluate_path

    with training_packages("Comparing tips"):
        report = evaluate_path(truth, predicted, threshold)
    typer.echo(json.dumps(report, indent=1))
