"""The `needles` command: its parts, and how it ends when something goes wrong."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from needle_backend import __version__
from needle_backend.cli import (
    bench,
    crossval,
    dataset,
    evaluate,
    experiment,
    generate,
    simulate,
    train,
)
from needle_backend.cli.export import export
from needle_backend.cli.info import info
from needle_backend.cli.locate import locate
from needle_backend.cli.track import track
from needle_backend.core.errors import BackendError, Cancelled, InputError

OK, FAILURE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

# Typer carries a click of its own from some version on; its base of usage errors has no other name
# that all versions share.
_UsageError = typer.BadParameter.__base__

app = typer.Typer(
    name="needles",
    help="Find brachytherapy needles in CT, and needle tips in ultrasound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(locate)
app.command()(track)
app.command()(export)
app.add_typer(evaluate.app, name="evaluate", help="Compare predictions with the truth.")
app.add_typer(simulate.app, name="simulate", help="Make images with known needles.")
app.add_typer(generate.app, name="generate", help="Make tips for ultrasound, and images with them.")
app.add_typer(dataset.app, name="dataset", help="Turn your own annotated images into data.")
app.add_typer(train.app, name="train", help="Train a network on your own or simulated cases.")
app.add_typer(crossval.app, name="crossval", help="Train and test on folds of patients.")
app.add_typer(experiment.app, name="experiment", help="Compare ways of training.")
app.add_typer(bench.app, name="bench", help="Measure how long the steps take here.")
app.command()(info)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"needles {__version__}")
        raise typer.Exit()


@app.callback()
def _needles(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Find brachytherapy needles in CT, and needle tips in ultrasound."""


def main() -> None:
    """Console entry of the `needles` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe that lacks a character must not make the command fail.
        stream.reconfigure(errors="replace")
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run the `needles` command and say in one sentence on stderr why it failed, if it did.

    Parameters
    ----------
    arguments
        Without the command's own name; None for those of the process.

    Returns
    -------
    int
        Exit code: 0 fine, 1 failure, 2 bad input or usage, 130 interrupted.
    """
    try:
        code = typer.main.get_command(app).main(
            arguments, prog_name="needles", standalone_mode=False
        )
    except InputError as error:
        return _end(BAD_INPUT, str(error))
    except _UsageError as error:
        # A bare command group has shown its help by now, and has no message.
        message = error.format_message().rstrip(".")
        return _end(BAD_INPUT, f"{message}; see needles --help.") if message else BAD_INPUT
    except BackendError as error:
        return _end(FAILURE, str(error))
    except (Cancelled, KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except MemoryError:
        return _end(FAILURE, "There is not enough memory for this input.")
    except Exception as error:
        if os.environ.get("NEEDLES_TRACEBACK"):
            traceback.print_exc()
        name = type(error).__name__
        return _end(FAILURE, f"Unexpected {name}: {error} (NEEDLES_TRACEBACK=1 shows where).")
    if code == INTERRUPTED:
        return _end(INTERRUPTED, "Interrupted; nothing half-written is left.")
    return code or OK


def _end(code: int, sentence: str) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return code
