"""`needles dataset tips`: cut labelled tips out as patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tips(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Labelled images (COCO) or simulated sequences."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for tip_00000.png and on, 64 x 64 grey.")],
) -> None:
    """Cut labelled tips out as patches, to be fused into needle-free images or looked at."""
    from needle_backend.us.training.patches import read_patches, write_patches

    paths = write_patches(read_patches(data).images, output)
    typer.echo(f"{len(paths)} tips in {output}.")
