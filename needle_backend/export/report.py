"""A report for the file: one HTML page that prints to one sheet of A4, needing nothing else."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from math import ceil
from pathlib import Path

from needle_backend import __version__
from needle_backend.core.files import written_whole
from needle_backend.core.markups import needle_colour
from needle_backend.core.needles import Point, confidence_in_words
from needle_backend.core.quality import Deviation, Quality, angle_to_axial_deg
from needle_backend.core.review_log import ReviewedNeedle, ReviewState

STATEMENT = (
    "Not a medical device, for research only. The detector was trained on simulated CT, and no "
    "clinical case has been tested. Check every needle against the images before relying on it."
)

_WIDTH_MM, _SHEET_MM = 190.0, 276.0
_HEAD_AND_FOOT_MM = 62.0
_TABLE_MM, _LEAST_PICTURE_MM, _CAPTION_MM = 125.0, 60.0, 3.5
_LARGEST_PT, _SMALLEST_PT, _LINE_MM_PER_PT = 8.0, 5.2, 0.47
_LIST_LINE_MM = 3.5
_LIST_CHARACTERS = 58  # as many as surely fit into a line of a list, half the sheet wide
_OTHER_COLUMNS_MM_PER_PT, _CHARACTER_MM_PER_PT, _HEAD_LINES = 16.0, 0.17, 2

_STYLE = """
@page { size: A4; margin: 10mm }
* { box-sizing: border-box; margin: 0; -webkit-print-color-adjust: exact;
    print-color-adjust: exact }
html { background: #ddd }
body { font: 8.5pt/1.3 "Liberation Sans", Arial, Helvetica, sans-serif; color: #111;
       background: #fff; width: 210mm; min-height: 297mm; padding: 10mm; margin: 0 auto;
       display: flex; flex-direction: column; gap: 2.2mm }
@media print { html { background: none }
  body { width: auto; min-height: 0; height: 276mm; padding: 0 } }
body > * { flex: none }
header { display: flex; justify-content: space-between; align-items: flex-end;
         border-bottom: 0.5mm solid #111; padding-bottom: 1mm; gap: 6mm }
h1 { font-size: 13pt; line-height: 1.15; overflow-wrap: anywhere }
.facts { text-align: right; white-space: nowrap; font-size: 7.5pt }
.statement { border: 0.3mm solid #a00; color: #a00; padding: 0.8mm 2mm; font-weight: bold;
             font-size: 7.5pt }
ul { padding-left: 4mm; columns: 2; column-gap: 6mm; font-size: 7.5pt }
li { break-inside: avoid }
.amiss li::marker { content: "\\25B2\\00A0"; color: #a00 }
.pictures { min-height: 60mm; display: flex; gap: 2mm }
figure { position: relative; min-width: 0 }
figure img { position: absolute; width: 100%; height: calc(100% - 3.5mm); object-fit: contain }
figcaption { position: absolute; bottom: 0; width: 100%; text-align: center; font-size: 7pt;
             line-height: 3mm; color: #444 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
        line-height: 1.2 }
th { text-align: right; border-bottom: 0.3mm solid #111; font-weight: bold; vertical-align: bottom }
td { text-align: right; border-bottom: 0.1mm solid #ccc; vertical-align: top; white-space: nowrap }
th, td { padding: 0 0 0 1.6mm }
.words { text-align: left }
.doubts { white-space: normal }
td.doubts { width: 99% }
.doubtful td { background: #fff3d6 }
.rejected td { color: #888; text-decoration: line-through }
i { display: inline-block; width: 0.8em; height: 0.8em; border: 0.1mm solid #333;
    margin-right: 0.4em }
footer { display: flex; justify-content: space-between; font-size: 7.5pt; gap: 6mm;
         padding-top: 3mm; margin-top: auto }
footer span + span { white-space: nowrap }
"""


@dataclass(frozen=True)
class Picture:
    """A picture for the report: PNG bytes and what they show."""

    png: bytes
    caption: str = ""


@dataclass(frozen=True)
class Report:
    """All that one report says.

    Attributes
    ----------
    source
        Name of the CT.
    needles
        In the order of the table.
    quality
        Their summary, from :func:`needle_backend.core.quality.check_quality`.
    pictures
        Side by side, as large as the table leaves room for.
    facts
        Names and values for the head of the page: patient, study, detector.
    changes
        Sentences about what changed since the CT before.
    colours
        Red, green and blue (0..1) by number, where they are not the usual ones.
    """

    source: str
    needles: tuple[ReviewedNeedle, ...]
    quality: Quality
    pictures: tuple[Picture, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    changes: tuple[str, ...] = ()
    colours: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


def write_report(path: Path, report: Report, made_at: datetime | None = None) -> None:
    """Write the report as one HTML file with its pictures in it.

    Raises
    ------
    InputError
        When the place is not writable.
    """
    html = report_html(report, made_at or datetime.now())
    with written_whole(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def report_html(report: Report, made_at: datetime) -> str:
    """Return the page as HTML."""
    title = f"Needles in {report.source}"
    parts = [
        _header(title, report, made_at),
        f'<p class="statement">{escape(STATEMENT)}</p>',
        f"<p>{escape(report.quality.in_words())}</p>",
        _list(report.quality.findings, "amiss"),
        _list(report.changes, "changes"),
        _pictures(report.pictures),
        _table(report),
        _footer(),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _header(title: str, report: Report, made_at: datetime) -> str:
    facts = (*report.facts, ("Made", f"{made_at:%Y-%m-%d %H:%M}, NeedleGuide {__version__}"))
    lines = "<br>".join(f"{escape(name)}: <b>{escape(value)}</b>" for name, value in facts)
    return f'<header><h1>{escape(title)}</h1><p class="facts">{lines}</p></header>'


def _footer() -> str:
    return (
        "<footer><span>All in mm, positions LPS. Length: from the tip to the centre of the hub. "
        "Angle: to the axial plane.</span>"
        "<span>Checked by ________________________ on ______________</span></footer>"
    )


def _list(sentences: Sequence[str], name: str) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="{name}">{items}</ul>' if items else ""


def _pictures(pictures: Sequence[Picture]) -> str:
    aspects = [_aspect(picture.png) for picture in pictures]
    figures = "".join(
        f'<figure style="flex: {aspect:.4f} 1 0"><img alt="{escape(picture.caption)}" '
        f'src="data:image/png;base64,{b64encode(picture.png).decode("ascii")}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture, aspect in zip(pictures, aspects, strict=True)
    )
    if not figures:
        return ""
    # All of one height; less of it where the table needs the room.
    height_mm = _WIDTH_MM / sum(aspects) + _CAPTION_MM
    return f'<div class="pictures" style="flex: 0 1 {height_mm:.1f}mm">{figures}</div>'


def _aspect(png: bytes) -> float:
    """Return width by height, which a PNG file states in its first chunk."""
    width, height = struct.unpack(">II", png[16:24])
    return width / height


def _table(report: Report) -> str:
    if not report.needles:
        return ""
    deviation_of = {deviation.id: deviation for deviation in report.quality.deviations}
    has_plan = bool(deviation_of or report.quality.not_planned)
    heads = ["No.", "Tip L, P, S", "Handle L, P, S", "Length", "Angle", "Conf."]
    heads += ["Off plan"] if has_plan else []
    cells = "".join(f"<th>{head}</th>" for head in heads)
    cells += '<th class="words">State</th><th class="words">Doubts; last change</th>'
    rows = "\n".join(
        _row(reviewed, colour, deviation_of.get(reviewed.needle.id), has_plan)
        for reviewed, colour in zip(report.needles, _colours(report), strict=True)
    )
    return (
        f'<table style="font-size: {_font_pt(report):.1f}pt"><thead><tr>{cells}</tr>'
        f"</thead>\n<tbody>{rows}</tbody></table>"
    )


def _colours(report: Report) -> Iterator[tuple[float, float, float] | None]:
    """Yield each needle's colour; pictures do not show rejected ones, which have none."""
    kept = 0
    for reviewed in report.needles:
        if reviewed.is_rejected:
            yield None
            continue
        yield report.colours.get(reviewed.needle.id) or needle_colour(kept)
        kept += 1


def _row(
    reviewed: ReviewedNeedle,
    colour: tuple[float, float, float] | None,
    deviation: Deviation | None,
    has_plan: bool,
) -> str:
    needle = reviewed.needle
    values = [
        _position(needle.tip_lps),
        _position(needle.handle_lps),
        f"{needle.length_mm:.1f}",
        f"{angle_to_axial_deg(needle):.0f}°",
        escape(confidence_in_words(needle.confidence)),
    ]
    if has_plan:
        values.append("" if deviation is None else f"{deviation.tip_mm:.1f}")
    mark = "" if colour is None else f'<i style="background: {_css(colour)}"></i>'
    cells = f"<td>{mark}{escape(needle.id)}</td>" + "".join(f"<td>{v}</td>" for v in values)
    cells += f'<td class="words">{escape(_state(reviewed))}</td>'
    cells += f'<td class="words doubts">{escape(_remark(reviewed))}</td>'
    return f'<tr class="{_row_kind(reviewed)}">{cells}</tr>'


def _row_kind(reviewed: ReviewedNeedle) -> str:
    if reviewed.is_rejected:
        return "rejected"
    is_open = reviewed.needle.doubts and reviewed.log.state is not ReviewState.accepted
    return "doubtful" if is_open else "sure"


def _state(reviewed: ReviewedNeedle) -> str:
    if not reviewed.log.entries or reviewed.log.state is ReviewState.found:
        return str(reviewed.log.state)
    return f"{reviewed.log.state} by {reviewed.log.entries[-1].by}"


def _remark(reviewed: ReviewedNeedle) -> str:
    """Return the doubts and the last thing changed; all that was done is in the table file."""
    changes = [entry.what for entry in reviewed.log.entries if entry.what]
    return "; ".join([*reviewed.needle.doubts, *changes[-1:]])


def _font_pt(report: Report) -> float:
    """Return the largest size at which all fits on the sheet and the pictures keep their room."""
    sentences = (*report.quality.findings, *report.changes)
    others_mm = _HEAD_AND_FOOT_MM + _LIST_LINE_MM * _lines(sentences, _LIST_CHARACTERS) / 2
    room_mm = min(_TABLE_MM, _SHEET_MM - _LEAST_PICTURE_MM - others_mm)
    remarks = [_remark(reviewed) for reviewed in report.needles]
    font_pt = _LARGEST_PT
    while font_pt > _SMALLEST_PT and _table_mm(remarks, font_pt) > room_mm:
        font_pt -= 0.1
    return font_pt


def _table_mm(remarks: Sequence[str], font_pt: float) -> float:
    """Estimate how high the table is: lines grow with the font, and what fits into one shrinks."""
    remark_mm = _WIDTH_MM - _OTHER_COLUMNS_MM_PER_PT * font_pt
    lines = _HEAD_LINES + _lines(remarks, int(remark_mm / (_CHARACTER_MM_PER_PT * font_pt)))
    return lines * _LINE_MM_PER_PT * font_pt


def _lines(texts: Iterable[str], characters: int) -> int:
    return sum(max(1, ceil(len(text) / characters)) for text in texts)


def _position(point: Point) -> str:
    return ", ".join(f"{value:.1f}" for value in point)


def _css(colour: tuple[float, float, float]) -> str:
    red, green, blue = (round(255 * value) for value in colour)
    return f"rgb({red}, {green}, {blue})"
