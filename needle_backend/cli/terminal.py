"""What the `needles` command shows people: progress, warnings and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING

from needle_backend.cli.agreement import Agreement
from needle_backend.core.needles import LocateResult, Needle, Point, confidence_in_words
from needle_backend.core.progress import Progress, no_progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH_WHEN_PIPED = 200


def warn(sentences: Iterable[str]) -> None:
    """Print each sentence once, on stderr."""
    for sentence in dict.fromkeys(sentences):
        print(f"Warning: {sentence}", file=sys.stderr)


@contextmanager
def progress_bar(share_of_stage: dict[str, float]) -> Iterator[Progress]:
    """Show progress on stderr while the block runs, if that is a terminal.

    Parameters
    ----------
    share_of_stage
        The stages in their order, and how much of the whole time each takes, adding up to 1.

    Yields
    ------
    Progress
        To be called as ``progress(stage, fraction)``; stages not named are ignored.
    """
    if not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    starts = accumulate(share_of_stage.values(), initial=0.0)
    start_of_stage = dict(zip(share_of_stage, starts, strict=False))
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def progress(stage: str, fraction: float) -> None:
            if stage in share_of_stage:
                done = start_of_stage[stage] + share_of_stage[stage] * fraction
                bar.update(task, description=stage, completed=done)

        yield progress


def print_needles(result: LocateResult, source: str, agreement: Agreement | None) -> None:
    """Print a result for people: a table of needles, and what else they must know.

    Parameters
    ----------
    source
        What was searched.
    agreement
        With a known truth; None when there is none.
    """
    console = _console()
    console.print(_headline(result, source), highlight=False, markup=False, soft_wrap=True)
    if result.needles:
        console.print(_table(result.needles, agreement))
    for sentence in _remarks(result):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if agreement is not None:
        console.print(agreement.in_words(), highlight=False, markup=False)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED)


def _headline(result: LocateResult, source: str) -> str:
    found, count = len(result.needles), result.count
    if found == 0:
        return f"No needles found in {source}."
    needles = "1 needle" if found == 1 else f"{found} needles"
    if count.estimated:
        return f"{needles} found in {source} (the number is estimated; give it with --count)."
    if found < count.value:
        return f"{needles} found in {source}, fewer than the {count.value} asked for."
    return f"{needles} found in {source}, as many as asked for."


def _table(needles: Sequence[Needle], agreement: Agreement | None) -> Table:
    """Lay out one row a needle, narrow enough for a terminal of 80 columns."""
    from rich import box
    from rich.table import Table

    from needle_backend.core.markups import needle_colour

    caption = "Tip, handle (LPS) and length in mm"
    columns = ["tip", "handle", "length", "score", "conf."]
    if agreement is not None:
        caption += "; errors of tip and handle in mm"
        columns.append("errors")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption=caption)
    table.caption_justify = "left"
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for i, needle in enumerate(needles):
        red, green, blue = (round(255 * value) for value in needle_colour(i))
        cells = [
            f"[rgb({red},{green},{blue})]{needle.id}[/]",
            _position(needle.tip_lps),
            _position(needle.handle_lps),
            f"{needle.length_mm:.1f}",
            f"{needle.score:.1f}",
            confidence_in_words(needle.confidence),
        ]
        if agreement is not None:
            error_mm = agreement.errors_mm[i]
            cells.append("none near" if error_mm is None else "{:.1f} {:4.1f}".format(*error_mm))
        table.add_row(*cells)
    return table


def _position(point: Point) -> str:
    return " ".join(f"{value:6.1f}" for value in point)


def _remarks(result: LocateResult) -> Iterator[str]:
    for needle in result.needles:
        if needle.doubts:
            yield f"{needle.id} is doubtful: {'; '.join(needle.doubts)}."
    for name, points in (("tip", result.unmatched_tips), ("handle", result.unmatched_handles)):
        if points:
            places = "; ".join(" ".join(f"{value:.1f}" for value in point) for point in points)
            ends = f"1 {name}" if len(points) == 1 else f"{len(points)} {name}s"
            yield f"{ends} without a partner, at {places}."
    if result.surplus:
        yield f"Beyond the number asked for, left out: {len(result.surplus)} (listed by --json)."
    if "total" in result.timings_s:
        yield f"{result.timings_s['total']:.1f} s on {result.device} with {result.weights}."
