"""`needles dataset us`: turn ultrasound recordings, or labelled images, into images to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from needle_backend.cli.regions import parse_region
from needle_backend.cli.terminal import progress_bar, warn
from needle_backend.core.errors import InputError

if TYPE_CHECKING:
    from needle_backend.us.training.make_images import MadeImages


def us(
    input: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Recordings: videos, folders of images, .mha or .nrrd sequences, DICOM, single "
            "images. Or folders of labelled images: COCO, YOLO or Pascal VOC.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="New folder for images/, manifest.json and, of labels, COCO.")
    ],
    every: Annotated[
        int, typer.Option(min=1, help="Of a recording each so-manieth frame is taken.")
    ] = 5,
    crop: Annotated[
        str | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="The imaging region; found when not given."),
    ] = None,
    subset: Annotated[
        str,
        typer.Option(metavar="N,N...", help="Also folders subset_N of N images, evenly chosen."),
    ] = "",
) -> None:
    """Cut recordings or labelled images to their imaging region, grey, with their origin."""
    from needle_backend.us.training.make_images import make_images

    region, sizes = parse_region(crop), _sizes(subset)
    with progress_bar({"images": 1.0}) as progress:
        made = make_images(input, output, every, region, sizes, progress)
    for one in made:
        typer.echo(_told(one))
    warn(sentence for one in made for sentence in one.warnings)
    typer.echo(f"{sum(one.images for one in made)} images in {output}.")


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        sizes = [0]
    if any(size < 1 for size in sizes) or len(set(sizes)) < len(sizes):
        raise InputError(f"--subset {text} is no list of sizes; give numbers such as 2500,5000.")
    return sizes


def _told(made: MadeImages) -> str:
    """Say what became of one input."""
    images = _counted(made.images, "image")
    tips = "" if made.boxes is None else f" with {_counted(made.boxes, 'tip')}"
    first = ",".join(map(str, made.regions[0]))
    region = first if len(made.regions) == 1 else f"{first} and {len(made.regions) - 1} others"
    return f"{made.source}: {images}{tips}, region {region}"


def _counted(count: int, name: str) -> str:
    return f"1 {name}" if count == 1 else f"{count} {name}s"
