"""`needles evaluate tips` and `blindtest`: how good generated tip patches are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def tips(
    generated: Annotated[Path, typer.Option(help="Folder of generated patches.")],
    data: Annotated[
        list[Path], typer.Option(help="What the generator was trained on, as it was then; repeat.")
    ],
    held_out: Annotated[
        list[Path] | None,
        typer.Option(help="Labelled tips that were never trained on, held out as well; repeat."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The generator's recipe, if it was not the default one.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Of the classifier; repeat.")] = None,
) -> None:
    """Print whether a classifier can tell generated from held-out tips, and how near copies lie.

    JSON: the area under the ROC curve (0.5: it cannot), and distances to the nearest training
    patch.
    """
    from needle_backend.cli.extras import training_packages
    from needle_backend.cli.train_tips import DEFAULT_RECIPE

    with training_packages("Evaluating tips"):
        from needle_backend.us.training.telling import evaluate_tips
        from needle_backend.us.training.train_tips import read_recipe

    schedule = read_recipe(config or DEFAULT_RECIPE).schedule
    found = evaluate_tips(
        generated,
        data,
        schedule.held_out_share,
        schedule.seed,
        seeds or [1, 2, 3],
        held_out or (),
        least_contrast=schedule.least_contrast,
    )
    typer.echo(json.dumps(found, indent=1))


def blindtest(
    answers: Annotated[Path, typer.Option(help="The reader's filled answers.csv.")],
    key: Annotated[Path, typer.Option(help="The key.csv made with the sheets.")],
) -> None:
    """Print the shares of generated and of real patches that a reader called real, as JSON."""
    from needle_backend.us.training.blind_test import score_blind_test

    typer.echo(json.dumps(score_blind_test(answers, key), indent=1))
