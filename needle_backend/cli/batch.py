"""`needles locate --batch`: find the needles in every CT of a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer

from needle_backend.cli.terminal import progress_bar, warn
from needle_backend.core.errors import BackendError, InputError
from needle_backend.core.files import check_writable
from needle_backend.core.needles import LocateOptions
from needle_backend.core.weights import DEFAULT_CT_WEIGHTS, DEFAULT_PAIR_WEIGHTS, find_weights


def locate_folder(
    folder: Path, output: Path | None, options: LocateOptions, workers: int, dask: str | None
) -> None:
    """Locate all studies of a folder and write a summary; studies done before are kept.

    Raises
    ------
    InputError
        When the folder, the output or the options cannot be used for any study.
    BackendError
        At the end, when studies failed.
    """
    from needle_backend.core.runner import choose_runner
    from needle_backend.ct.studies import find_studies, locate_studies, write_summary

    if output is None:
        raise InputError("--batch needs a folder to write to; give it with --output.")
    summary = output / "summary.csv"
    check_writable(summary)
    # A cluster's workers are at home in other folders.
    options = replace(
        options,
        weights=_checked(options.weights, DEFAULT_CT_WEIGHTS),
        pair_weights=_checked(options.pair_weights, DEFAULT_PAIR_WEIGHTS),
    )
    studies = find_studies(folder.absolute(), output.absolute())
    done_before = sum(study.is_done for study in studies)
    failures: dict[str, str] = {}
    with progress_bar({"studies": 1.0}) as progress:
        outcomes = locate_studies(studies, options, choose_runner(workers, dask))
        for ended, (study, failure) in enumerate(outcomes, start=done_before + 1):
            progress("studies", ended / len(studies))
            if failure is not None:
                failures[study.name] = failure
                warn([f"{study.name}: {failure}"])
    write_summary(summary, studies, failures)
    located = len(studies) - done_before - len(failures)
    typer.echo(f"{located} studies located, {done_before} done before, {len(failures)} failed.")
    typer.echo(f"Written: {summary}")
    if failures:
        raise BackendError(
            f"{len(failures)} of {len(studies)} studies failed; {summary} says why, and the same "
            "command tries them again."
        )


def _checked(weights: str | None, default: str) -> str | None:
    """Return where chosen weights lie, for whoever works in another folder; None stays as it is."""
    found = find_weights(weights, default)
    return None if weights is None else str(found.path.absolute())
