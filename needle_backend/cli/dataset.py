"""`needles dataset`: turn one's own images into data to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from needle_backend.cli.dataset_tips import tips
from needle_backend.cli.dataset_us import us
from needle_backend.core.errors import InputError

if TYPE_CHECKING:
    from needle_backend.ct.training.make_dataset import ImportedCase

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _dataset() -> None:
    """Turn annotated images into data to train on."""


app.command()(us)
app.command()(tips)


@app.command()
def ct(
    input: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="CASE/ct.nii.gz or PATIENT/CASE/ct.nii.gz, each with truth.json, *.mrk.json or "
            "labels.nii.gz (tips 1, 3, 5...; handles 2, 4, 6...) beside it.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for case_000, case_001... and splits.json.")],
    folds: Annotated[int, typer.Option(min=2, help="Folds to divide the patients into.")] = 5,
    shortest: Annotated[float, typer.Option(min=1, help="Shortest needle, mm.")] = 120.0,
    longest: Annotated[float, typer.Option(min=1, help="Longest needle, mm.")] = 250.0,
    nnunet: Annotated[
        Path | None, typer.Option(help="Also write an nnU-Net v2 data set: Dataset501_Needles.")
    ] = None,
) -> None:
    """Check annotated CTs, say what is wrong with each, and write the sound ones."""
    from needle_backend.ct.training.checks import LengthLimits
    from needle_backend.ct.training.make_dataset import import_cases
    from needle_backend.ct.training.nnunet import check_dataset_name, export_nnunet
    from needle_backend.ct.training.splits import SPLITS_FILE, patient_folds, write_splits

    if nnunet is not None:
        check_dataset_name(nnunet)
    cases = []
    for case in import_cases(input, output, LengthLimits(shortest, longest)):
        _tell(case)
        cases.append(case)
    written = [case for case in cases if case.folder is not None]
    typer.echo(f"{len(written)} of {len(cases)} cases written to {output}.")
    if not written:
        raise InputError(f"No case of {input} can be used; mend what is said above.")
    patient_of = {case.folder.name: case.source.patient for case in written}
    # A few patients make fewer folds; a single one cannot be divided.
    folds = min(folds, len(set(patient_of.values())))
    divided = patient_folds(patient_of, folds) if folds > 1 else []
    if divided:
        write_splits(output / SPLITS_FILE, divided, patient_of)
        typer.echo(f"{len(set(patient_of.values()))} patients divided into {folds} folds.")
    if nnunet is not None:
        export_nnunet([case.folder for case in written], divided, nnunet)
        typer.echo(f"nnU-Net data set: {nnunet}.")


def _tell(case: ImportedCase) -> None:
    """Print one case and what is wrong with it."""
    place = case.folder.name if case.folder is not None else "left out"
    needles = "1 needle" if case.needles == 1 else f"{case.needles} needles"
    typer.echo(f"{case.source.name}: {place}, {needles}")
    for finding in case.findings:
        typer.echo(f"  {'wrong' if finding.grave else 'look at'}: {finding.sentence}")
