"""`needles generate`: tip patches, images with such tips in them, and a blind test of readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle_backend.cli.extras import training_packages
from needle_backend.cli.terminal import progress_bar
from needle_backend.core.files import check_writable
from needle_backend.core.weights import DEFAULT_GENERATOR_WEIGHTS

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _generate() -> None:
    """Generate tips of needles in ultrasound, and images with them; generated, never clinical."""


@app.command()
def tips(
    count: Annotated[int, typer.Option(min=1, help="How many patches.")],
    output: Annotated[Path, typer.Option(help="Folder for tip_00000.png and on, 64 x 64 grey.")],
    weights: Annotated[
        str, typer.Option(help="Generator: by name, or a file that `needles train tips` made.")
    ] = DEFAULT_GENERATOR_WEIGHTS,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    steps: Annotated[
        int, typer.Option(min=1, max=1000, help="Noise steps a patch; DDPM as published has 1000.")
    ] = 20,
    sampler: Annotated[
        str, typer.Option(help="dpm-solver or ddim (few steps), or ddpm (as published).")
    ] = "dpm-solver",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet (PNG or JPEG) of the first 256.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that sample at once.")] = 1,
) -> None:
    r"""Generate tip patches with the trained diffusion model.

    Patches that are already there are kept, so that a stopped run goes on where it was. Needs the
    training packages: pip install 'needle-backend\[train]'.
    """
    from needle_backend.core.runner import choose_runner

    with training_packages("Generating tips"):
        from needle_backend.us.training.generate import TipOrder, generate_tips, write_sheet

    if sheet is not None:
        check_writable(sheet)
    order = TipOrder(output.absolute(), count, seed, weights, steps, sampler, device)
    paths: list[Path] = []
    with progress_bar({"generate": 1.0}) as progress:
        for batch in generate_tips(order, choose_runner(workers)):
            paths += batch
            progress("generate", len(paths) / count)
    if sheet is not None:
        write_sheet(sorted(paths)[:256], sheet)
    typer.echo(f"{count} generated tips in {output}.")


@app.command()
def fused(
    backgrounds: Annotated[Path, typer.Option(help="Folder of needle-free images.")],
    tips: Annotated[Path, typer.Option(help="Folder of tip patches.")],
    count: Annotated[int, typer.Option(min=1, help="How many images.")],
    output: Annotated[Path, typer.Option(help="Folder for images/ and annotations.json (COCO).")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    tips_per_image: Annotated[int, typer.Option(min=1, help="Tips an image.")] = 3,
    height_sd: Annotated[
        float, typer.Option(min=0, help="Spread of the heights, px at 640; published code: 3.")
    ] = 6.0,
    width_sd: Annotated[
        float, typer.Option(min=0, help="Spread of the widths, px at 640; published code: 5.")
    ] = 10.0,
    central: Annotated[
        float,
        typer.Option(min=0.1, max=1, help="Central share tips lie in; published code: 0.6."),
    ] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that fuse at once.")] = 1,
) -> None:
    """Put tips into needle-free images by Poisson editing, never outside the imaging region.

    Images that are already there are kept, so that a stopped run goes on where it was.
    """
    from needle_backend.core.runner import choose_runner
    from needle_backend.us.training.coco_files import write_coco
    from needle_backend.us.training.fusion import FusionOrder, FusionSettings, fuse_images

    settings = FusionSettings(tips_per_image, (20.0, height_sd), (36.0, width_sd), central)
    order = FusionOrder(
        backgrounds.absolute(), tips.absolute(), output.absolute(), count, seed, settings
    )
    images = []
    with progress_bar({"fuse": 1.0}) as progress:
        for image in fuse_images(order, choose_runner(workers)):
            images.append(image)
            progress("fuse", len(images) / count)
    images.sort(key=lambda image: image.path)
    write_coco(order.output, images, order.facts())
    typer.echo(f"{count} images with generated tips in {output}.")


@app.command()
def blindtest(
    real: Annotated[
        list[Path],
        typer.Option(help="Labelled images or simulated sequences to cut tips from; repeat."),
    ],
    generated: Annotated[Path, typer.Option(help="Folder of generated patches.")],
    output: Annotated[
        Path, typer.Option(help="Folder for round_1.png and on, answers.csv and key.csv.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same sheets.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds a reader.")] = 3,
    of_each: Annotated[int, typer.Option(min=1, help="Real and generated patches a round.")] = 50,
) -> None:
    """Make the sheets of a blind test; score it with `needles evaluate blindtest`.

    Give the reader round_*.png and a copy of answers.csv, and keep key.csv.
    """
    from needle_backend.us.training.blind_test import write_blind_test
    from needle_backend.us.training.patches import read_patch_folder, read_patches

    sheets = write_blind_test(
        read_patches(real).images, read_patch_folder(generated), output, seed, rounds, of_each
    )
    typer.echo(f"{len(sheets)} rounds of {2 * of_each} patches in {output}.")
