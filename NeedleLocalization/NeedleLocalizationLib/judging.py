"""What to doubt about a needle that a person placed or moved; knows no Slicer."""

from __future__ import annotations

from dataclasses import replace

from needle_backend.core.quality import QualityLimits, closeness_to
from needle_backend.core.review_log import ReviewState
from NeedleLocalizationLib.implant import Implant

POOR_LOG_ODDS = 0.0
"""A line whose score is below this is more likely no needle than one."""
LENGTH_OFF_MM = 4.0


def judged(implant: Implant, uid: str, log_odds: float | None = None) -> Implant:
    """Return the implant with one needle's doubts stated anew, and its score where it is known.

    Parameters
    ----------
    log_odds
        What the picture says between the needle's ends; None as long as nobody has looked.
    """
    doubts = (*_doubts_of_place(implant, uid), *_doubts_of_length(implant, uid))
    if log_odds is not None and log_odds < POOR_LOG_ODDS:
        doubts += ("the picture fits this needle poorly",)
    score = 0.0 if log_odds is None else float(log_odds)
    return implant.with_record(replace(implant[uid], doubts=doubts, score=score))


def _doubts_of_place(implant: Implant, uid: str) -> tuple[str, ...]:
    others = [
        record.needle
        for record in implant.needles
        if record.uid != uid and record.state is not ReviewState.rejected
    ]
    crossing, near = closeness_to(implant[uid].needle, others, QualityLimits())
    return (
        *(f"crosses {pair.second}" for pair in crossing),
        *(f"{pair.second} within {pair.distance_mm:.1f} mm" for pair in near),
    )


def _doubts_of_length(implant: Implant, uid: str) -> tuple[str, ...]:
    length_mm = implant[uid].needle.length_mm
    others_mm = [r.needle.length_mm for r in implant.needles if r.uid != uid]
    if len(others_mm) < 2:
        return ()
    off_mm = min(abs(length_mm - other_mm) for other_mm in others_mm)
    if off_mm <= LENGTH_OFF_MM:
        return ()
    return (f"length off by {off_mm:.0f} mm from the others",)
