"""`needles simulate`: images with known needles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.terminal import progress_bar
from needle_backend.core.errors import InputError
from needle_backend.core.files import check_writable

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _simulate() -> None:
    """Make images with known needles; simulated, never clinical."""


@app.command()
def ct(
    cases: Annotated[int, typer.Option(min=1, help="How many cases.")],
    output: Annotated[Path, typer.Option(help="Folder for case_000/ct.nii.gz and truth.json.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    settings: Annotated[
        Path | None, typer.Option(help="TOML with ranges to draw from; defaults elsewhere.")
    ] = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="Folder of real needle-free CTs to put the needles into.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet (PNG or JPEG) of the first cases.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate at once.")] = 1,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Dask scheduler to use instead, tcp://HOST:PORT."),
    ] = None,
) -> None:
    """Simulate CTs of pelvic implants with known needles.

    Folders that are already there are kept, so that a stopped run goes on where it was.
    """
    from needle_backend.core.runner import choose_runner
    from needle_backend.core.settings import read_toml
    from needle_backend.ct.training.backgrounds import find_backgrounds
    from needle_backend.ct.training.factory import CaseOrder, simulate_cases
    from needle_backend.ct.training.settings import SimulationSettings

    order = CaseOrder(
        settings=read_toml(SimulationSettings, settings),
        seed=seed,
        cases=cases,
        output=output.absolute(),  # a cluster's workers are at home in other folders
        backgrounds=find_backgrounds(backgrounds.absolute()) if backgrounds is not None else (),
    )
    if sheet is not None:
        check_writable(sheet)
    folders = []
    with progress_bar({"simulate": 1.0}) as progress:
        for folder in simulate_cases(order, choose_runner(workers, dask)):
            folders.append(folder)
            progress("simulate", len(folders) / cases)
    if sheet is not None:
        _draw_sheet(sorted(folders)[:8], sheet)
    typer.echo(f"{cases} simulated cases in {output}.")


@app.command()
def us(
    output: Annotated[
        Path | None, typer.Option(help="Folder for sequence_000/frames/*.png and truth.json.")
    ] = None,
    sequences: Annotated[int, typer.Option(min=1, help="How many sequences.")] = 1,
    igtl: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            help="Stream one puncture forth and back as an OpenIGTLink server on this machine "
            "until Ctrl-C, instead of writing it.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=1, max=200, help="Frames a second, instead of the settings'."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End the stream after so long.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    settings: Annotated[
        list[Path] | None,
        typer.Option(
            help="TOML with ranges to draw from; defaults elsewhere. Give another to lay it over "
            "the one before."
        ),
    ] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(help="Folder of real needle-free B-mode images to put the needles into."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames a sequence, instead of the settings'.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet (PNG or JPEG) of the first sequences.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate at once.")] = 1,
) -> None:
    """Simulate needle punctures under ultrasound with the tip known in every frame.

    Folders that are already there are kept, so that a stopped run goes on where it was.
    """
    from dataclasses import replace

    from needle_backend.cli.stream import stream_puncture
    from needle_backend.core.files import written_whole
    from needle_backend.core.runner import choose_runner
    from needle_backend.core.settings import read_toml
    from needle_backend.us.training.backgrounds import find_backgrounds
    from needle_backend.us.training.factory import (
        SequenceOrder,
        contact_sheet,
        simulate_sequences,
    )
    from needle_backend.us.training.settings import SimulationSettings

    ranges = SimulationSettings()
    for path in settings or ():
        ranges = read_toml(SimulationSettings, path, onto=ranges)
    if frames is not None:
        ranges = replace(ranges, sequence=replace(ranges.sequence, frames=frames))
    if fps is not None:
        ranges = replace(ranges, sequence=replace(ranges.sequence, fps=fps))
    if (output is None) == (igtl is None):
        raise InputError("Give --output DIR to write sequences, or --igtl PORT to stream one.")
    found = find_backgrounds(backgrounds) if backgrounds is not None else ()
    if igtl is not None:
        stream_puncture(ranges, seed, found, igtl, seconds)
        return
    order = SequenceOrder(
        settings=ranges,
        seed=seed,
        sequences=sequences,
        output=output,
        backgrounds=found,
    )
    if sheet is not None:
        check_writable(sheet)
    folders = []
    with progress_bar({"simulate": 1.0}) as progress:
        for folder in simulate_sequences(order, choose_runner(workers)):
            folders.append(folder)
            progress("simulate", len(folders) / sequences)
    if sheet is not None:
        with written_whole(sheet) as path:
            contact_sheet(sorted(folders)[:8], path)
    typer.echo(f"{sequences} simulated sequences in {output}.")


def _draw_sheet(folders: list[Path], sheet: Path) -> None:
    from needle_backend.core.files import written_whole
    from needle_backend.core.truth import read_truth
    from needle_backend.core.volume_io import read_volume
    from needle_backend.ct.training.factory import contact_sheet

    rows = [
        (folder.name, read_volume(folder / "ct.nii.gz"), read_truth(folder / "truth.json"))
        for folder in folders
    ]
    with written_whole(sheet) as path:
        contact_sheet(rows, path)
