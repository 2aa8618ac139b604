"""`needles bench`: how long the steps take on this machine, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from needle_backend.cli.terminal import warn
from needle_backend.core.errors import InputError
from needle_backend.core.files import check_writable

if TYPE_CHECKING:
    from needle_backend.core.volume import Volume

app = typer.Typer(no_args_is_help=True)

SLICES_DRAWN = (10, 20, 50, 100, 200, 400)
NEEDLES_DRAWN = (5, 10, 20, 50, 100, 200)

_Repeats = Annotated[int, typer.Option(min=1, help="Runs that the medians are taken of.")]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
_Slices = Annotated[int, typer.Option(min=1, help="Slices of the volume measured in detail.")]
_Pixels = Annotated[int, typer.Option(min=32, help="Its rows and columns.")]
_Base = Annotated[
    Path | None, typer.Option("--ct", help="A CT to take slices from; the bundled sample else.")
]
_Sizes = Annotated[
    str | None,
    typer.Option(metavar="N,N...", help="Measure these sizes too, and how time grows with them."),
]
_Plot = Annotated[
    Path | None,
    typer.Option(help="Draw time against size (.png); sizes are chosen when not given."),
]


@app.callback()
def _bench() -> None:
    """Measure the time of each step on this machine, and print it as JSON."""


@app.command()
def ct(
    slices: _Slices = 20,
    pixels: _Pixels = 512,
    base: _Base = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights by name or file; see needles info.")
    ] = None,
    device: _Device = "auto",
    repeats: _Repeats = 5,
    sizes: _Sizes = None,
    plot: _Plot = None,
) -> None:
    """From a CT's file to the markups' file with a warm network, and where the time goes.

    Beside it a plain network: float32, the library's deformable convolutions in every cell.
    """
    drawn = _sizes(sizes, plot, SLICES_DRAWN)
    chosen = _device(device)
    volume = _volume(base, slices, pixels)
    from needle_backend.bench.ct import bench_ct
    from needle_backend.core.needles import LocateOptions

    options = LocateOptions(device=chosen, weights=weights)
    report = bench_ct(volume, slices, repeats, options, drawn)
    _finish(report, plot, "CT from file to markups", "slices")


@app.command()
def matching(
    cases: Annotated[int, typer.Option(min=1, help="Dense cases to measure.")] = 5,
    device: _Device = "auto",
    repeats: _Repeats = 7,
    sizes: _Sizes = None,
    plot: _Plot = None,
) -> None:
    """Scoring and matching of 44 needles seen as 65 tips and 82 handles, with every solver."""
    drawn = _sizes(sizes, plot, NEEDLES_DRAWN)
    chosen = _device(device)
    from needle_backend.bench.matching import bench_matching

    _finish(bench_matching(cases, repeats, chosen, drawn), plot, "Scoring and matching", "needles")


@app.command()
def tophat(
    slices: _Slices = 20,
    pixels: _Pixels = 512,
    base: _Base = None,
    device: _Device = "auto",
    repeats: _Repeats = 5,
) -> None:
    """The white top-hat, beside SimpleITK's slice by slice."""
    chosen = _device(device)
    volume = _volume(base, slices, pixels)
    from needle_backend.bench.tophat import bench_tophat

    _finish(bench_tophat(volume, repeats, chosen), None, "", "")


@app.command()
def us(
    weights: Annotated[
        str | None, typer.Option(help="Weights by name or file; see needles info.")
    ] = None,
    device: _Device = "auto",
    repeats: _Repeats = 200,
) -> None:
    """From an ultrasound frame to the tip's box, one frame at a time: median and 99th percentile.

    In float32 and bf16, the network alone, and beside it the plain network.
    """
    chosen = _device(device)
    from needle_backend.bench.us import bench_us

    _finish(bench_us(weights, chosen, repeats), None, "", "")


def _sizes(text: str | None, plot: Path | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Read the sizes, and refuse a place for the picture that would fail after the work."""
    if plot is not None:
        if plot.suffix.lower() != ".png":
            raise InputError(f"{plot} must end in .png; give it another name.")
        check_writable(plot)
    if text is None:
        return usual if plot is not None else ()
    try:
        sizes = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise InputError(f"{text!r} are no sizes; give numbers like 10,20,50.") from error
    if sizes[0] < 2 or (plot is not None and len(sizes) < 2):
        raise InputError("Sizes start at 2, and a picture needs two of them.")
    return sizes


def _device(requested: str) -> str:
    from needle_backend.core.device import choose_device

    choice = choose_device(requested)
    warn(choice.warnings)
    return choice.device


def _volume(base: Path | None, slices: int, pixels: int) -> Volume:
    from needle_backend.bench.volumes import read_base, with_slices

    return with_slices(read_base(base), slices, pixels)


def _finish(report: dict[str, Any], plot: Path | None, title: str, size_name: str) -> None:
    typer.echo(json.dumps(report, indent=1))
    if plot is not None:
        from needle_backend.bench.plot import write_plot

        scaling = report["scaling"]
        write_plot(plot, title, size_name, scaling["sizes"], scaling["median_ms"])
