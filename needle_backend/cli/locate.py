"""`needles locate`: find the needles in one CT."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from needle_backend.cli.agreement import agreement_with
from needle_backend.cli.batch import locate_folder
from needle_backend.cli.terminal import print_needles, progress_bar, warn
from needle_backend.core.errors import InputError
from needle_backend.core.files import check_writable
from needle_backend.core.needles import LocateOptions, LocateResult, Needle
from needle_backend.core.progress import CancelToken

if TYPE_CHECKING:
    from needle_backend.core.volume import Volume
    from needle_backend.ct.localize import Localizer


class Method(StrEnum):
    """How needles are found."""

    network = "network"
    classical = "classical"


_DEFAULTS = LocateOptions()
_SHARE_OF_STAGE = {"read": 0.05, "tophat": 0.05, "network": 0.8, "match": 0.1}


def locate(
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A CT: NIfTI, NRRD, MHA... or a folder of DICOM images; with --batch a folder of "
            "such.",
        ),
    ],
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of needles; estimated when not given.")
    ] = None,
    length: Annotated[
        float, typer.Option(min=1, help="From tip to hub centre, mm.")
    ] = _DEFAULTS.length_mm,
    length_tolerance: Annotated[
        float, typer.Option(min=0, help="Needles may be this much shorter or longer, mm.")
    ] = _DEFAULTS.length_tolerance_mm,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = _DEFAULTS.device,
    method: Annotated[
        Method,
        typer.Option(help="The network, or thresholds and fitted lines, to measure it against."),
    ] = Method.network,
    solver: Annotated[
        str, typer.Option(help="How tips and handles are matched.")
    ] = _DEFAULTS.solver,
    weights: Annotated[
        str | None, typer.Option(help="Weights by name or file; see needles info.")
    ] = None,
    pair_weights: Annotated[
        str | None, typer.Option(help="The same of what judges pairs of ends; needles train pairs.")
    ] = None,
    tip_threshold: Annotated[
        float, typer.Option(help="Weakest sight of a tip that counts, 0 to 1.")
    ] = _DEFAULTS.tip_threshold,
    handle_threshold: Annotated[
        float, typer.Option(help="Weakest sight of a handle that counts, 0 to 1.")
    ] = _DEFAULTS.handle_threshold,
    series: Annotated[
        str | None, typer.Option(help="Which series of a DICOM folder: its number or UID.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="A truth.json; the table shows the errors against it.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write line markups for Slicer (.mrk.json); with --batch a folder of results."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a table (.csv).")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write an overview (.png).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")
    ] = False,
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Search every CT in the folder that is not done yet."),
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="With --batch: CTs searched at once, a process each.")
    ] = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="With --batch: a Dask scheduler to use, tcp://HOST:PORT."
        ),
    ] = None,
) -> None:
    """Find the needles in a CT, or in all CTs of a folder."""
    options = LocateOptions(
        count=count,
        length_mm=length,
        length_tolerance_mm=length_tolerance,
        device=device,
        solver=solver,
        weights=weights,
        pair_weights=pair_weights,
        tip_threshold=tip_threshold,
        handle_threshold=handle_threshold,
        method=method.value,
    )
    if batch:
        _refuse_with_batch(method, series, truth, csv, picture, as_json)
        locate_folder(input, output, options, workers, dask)
        return
    _check_outputs(input, {".mrk.json": output, ".csv": csv, ".png": picture})
    known = _read_truth(truth)
    volume, result = _find(input, series, method, options)
    _write(volume, result, output, csv, picture)
    warn(result.warnings)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=1))
        return
    agreement = None if known is None else agreement_with(known, result.needles)
    print_needles(result, volume.source, agreement)
    for path in (output, csv, picture):
        if path is not None:
            typer.echo(f"Written: {path}")


def make_localizer() -> Localizer:
    """Return what finds needles with the network; tests put a stand-in here."""
    from needle_backend.ct.localize import InProcessLocalizer

    return InProcessLocalizer()


def _localizer(method: Method) -> Localizer:
    if method is Method.classical:
        from needle_backend.ct.classical import ClassicalLocalizer

        return ClassicalLocalizer()
    return make_localizer()


def _refuse_with_batch(method: Method, *only_for_one_ct: object) -> None:
    if method is not Method.network:
        raise InputError("--batch always uses the network; leave out --method.")
    if any(only_for_one_ct):
        raise InputError(
            "--series, --truth, --csv, --picture and --json are for one CT; leave them out with "
            "--batch."
        )


def _check_outputs(input: Path, wanted: dict[str, Path | None]) -> None:
    """Refuse output places that would fail after the work, or overwrite what must stay."""
    for ending, path in wanted.items():
        if path is None:
            continue
        if not path.name.lower().endswith(ending):
            raise InputError(f"{path} must end in {ending}; give it another name.")
        if path.resolve() == input.resolve():
            raise InputError(f"{path} is the input itself; write somewhere else.")
        check_writable(path)


def _read_truth(path: Path | None) -> tuple[Needle, ...] | None:
    from needle_backend.core.truth import read_truth

    return None if path is None else read_truth(path)


def _find(
    input: Path, series: str | None, method: Method, options: LocateOptions
) -> tuple[Volume, LocateResult]:
    """Read the volume and find its needles, showing progress."""
    from needle_backend.core.volume_io import read_volume

    with progress_bar(_SHARE_OF_STAGE) as progress:
        progress("read", 0.0)
        start = time.perf_counter()
        volume = read_volume(input, series)
        read_s = time.perf_counter() - start
        result = _localizer(method).locate(volume, options, progress, CancelToken())
    timings_s = {**result.timings_s, "read": read_s}
    timings_s["total"] = read_s + timings_s.get("total", 0.0)
    warnings = tuple(dict.fromkeys(volume.warnings + result.warnings))
    return volume, replace(result, timings_s=timings_s, warnings=warnings)


def _write(
    volume: Volume,
    result: LocateResult,
    output: Path | None,
    csv: Path | None,
    picture: Path | None,
) -> None:
    if output is not None:
        from needle_backend.core.markups import write_markups

        write_markups(output, result.needles)
    if csv is not None:
        from needle_backend.core.tables import write_csv

        write_csv(csv, result)
    if picture is not None:
        from needle_backend.ct.picture import write_picture

        write_picture(picture, volume, result)
