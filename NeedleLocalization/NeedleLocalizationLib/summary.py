"""What a volume's needles amount to, and what is still open about them; knows no Slicer scene."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from needle_backend.core.needles import Needle
from needle_backend.core.quality import QualityLimits, check_quality
from needle_backend.core.review_log import ReviewState
from NeedleLocalizationLib.implant import Implant

MOST_FINDINGS = 6


def summary_text(implant: Implant, limits: QualityLimits, plan: Sequence[Needle] = ()) -> str:
    """Return the figures, and what is amiss, a line each; planned lines lie in its frame."""
    if not implant.needles:
        return ""
    quality = check_quality(implant.reviewed, limits, plan)
    findings = [f"• {finding}" for finding in quality.findings]
    if len(findings) > MOST_FINDINGS:
        more = len(findings) - MOST_FINDINGS + 1
        findings[MOST_FINDINGS - 1 :] = [_("• and {more} more").format(more=more)]
    return "\n".join([quality.in_words(), *findings])


def open_questions(implant: Implant, limits: QualityLimits) -> tuple[list[str], list[str], str]:
    """Return what stands between an implant and accepting all of it.

    Returns
    -------
    undecided
        Needles neither accepted nor rejected, by uid.
    questionable
        Those of them with an open doubt or crossing another.
    question
        What to ask about these.
    """
    decided = (ReviewState.accepted, ReviewState.rejected)
    open_records = [record for record in implant.needles if record.state not in decided]
    crossing = {
        number
        for pair in check_quality(implant.reviewed, limits).crossing
        for number in (pair.first, pair.second)
    }
    questionable = [r for r in open_records if r.is_doubt_open or r.id in crossing]
    question = _(
        "There are open doubts about {needles}.\n\nYes: accept them too.\n"
        "No: accept only the needles without doubts."
    ).format(needles=", ".join(record.id for record in questionable))
    return (
        [record.uid for record in open_records],
        [record.uid for record in questionable],
        question,
    )
