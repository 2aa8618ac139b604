"""`needles crossval`: train and test on folds of patients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.train import DEFAULT_RECIPE
from needle_backend.core.errors import InputError

app = typer.Typer(no_args_is_help=True)

_ROWS = {"tips_2d": "Tips on slices", "handles_2d": "Handles on slices", "needles_3d": "Needles"}


@app.callback()
def _crossval() -> None:
    """Train and test on folds of patients."""


@app.command()
def ct(
    data: Annotated[Path, typer.Option(help="Folder of cases, as needles dataset ct writes it.")],
    output: Annotated[Path, typer.Option(help="Folder for weights, predictions and report.json.")],
    folds: Annotated[int, typer.Option(min=2, help="Folds to divide the patients into.")] = 5,
    config: Annotated[
        Path, typer.Option(help="TOML recipe; the default is the shipped small network's.")
    ] = DEFAULT_RECIPE,
    init: Annotated[
        Path | None, typer.Option(help="Weights to start from, of other patients.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A report to compare with: of crossval, or of needles evaluate ct."),
    ] = None,
    max_hours: Annotated[float | None, typer.Option(help="Longest training of a fold.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
) -> None:
    r"""Cross-validate by patients and print means and standard deviations over the folds.

    Run it again with the same --output to go on after a stop. Needs the training packages:
    pip install 'needle-backend\[train]'.
    """
    other = None if baseline is None else _read_report(baseline)
    try:
        from needle_backend.ct.training.crossval import (
            CrossValidation,
            against_baseline,
            cross_validate,
        )
        from needle_backend.ct.training.train import read_recipe
    except ModuleNotFoundError as error:
        raise InputError(
            f"Training needs the package {error.name}; install the extra: "
            "pip install 'needle-backend[train]'."
        ) from error
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    order = CrossValidation(read_recipe(config), data, folds, output, init, max_hours)
    result = cross_validate(order, typer.echo)
    _print_summary(result["summary"], folds)
    if other is not None:
        _print_comparison(against_baseline(result, other), baseline)


def _read_report(path: Path) -> dict:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON report; give one of needles evaluate ct.") from error
    if not isinstance(report, dict) or "per_case" not in report:
        raise InputError(f"{path} has no results case by case; give one of needles evaluate ct.")
    return report


def _print_summary(summary: Mapping, folds: int) -> None:
    """Print a table for each of tips, handles and needles: mean and standard deviation."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for key, title in _ROWS.items():
        table = Table(title=f"{title}, mean and sd over {folds} folds", box=box.SIMPLE_HEAD)
        table.title_justify = "left"
        for name in summary[key]:
            table.add_column(name, justify="right")
        table.add_row(*(_cell(figure) for figure in summary[key].values()))
        console.print(table)


def _cell(figure: Mapping) -> str:
    if figure["mean"] is None:
        return "-"
    spread = "" if figure["sd"] is None else f" +- {figure['sd']:.2f}"
    return f"{figure['mean']:.2f}{spread}"


def _print_comparison(comparison: Mapping, baseline: Path) -> None:
    typer.echo(
        f"F1 of {comparison['patients']} patients against {baseline}: better for "
        f"{comparison['better']}, worse for {comparison['worse']}, median difference "
        f"{comparison['median_difference']:+.3f}, p = {comparison['p_value']:.3g} "
        "(Wilcoxon, two-sided)."
    )
