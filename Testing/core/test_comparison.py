from dataclasses import replace

import numpy as np
import pytest

from needle_backend.core.comparison import Others, hold_against
from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle, as_point
from needle_backend.core.rescan import ChangeKind
from needle_backend.core.review_log import ReviewedNeedle, ReviewLog, ReviewState


def needle(id, x, way=(0.0, 0.0, 0.0)):
    """A needle along S at ``x``, both ends moved by ``way``."""
    ends = ((x, 0.0, 100.0), (x, 0.0, -100.0))
    return Needle(*(as_point(np.add(end, way)) for end in ends), id=id)


FOUND = [needle("N01", 0.0), needle("N02", 10.0), needle("N03", 20.0)]


def reviewed(needles, rejected=()):
    log = ReviewLog().with_entry(ReviewState.rejected, "mueller")
    return [ReviewedNeedle(n, log if n.id in rejected else ReviewLog()) for n in needles]


def test_nothing_to_compare_with_leaves_nothing_to_tell():
    comparison = hold_against(reviewed(FOUND), Others())
    assert [one.deviation or one.error or one.change for one in comparison.needles] == [None] * 3
    assert comparison.sentences() == ()


def test_every_needle_knows_its_counterparts_under_its_own_number():
    others = Others(
        plan=(needle("P7", 10.0, (0.0, 3.0, 0.0)),),
        reference=(needle("R1", 21.0),),
        before=(needle("N05", 0.0, (0.0, 0.0, -8.0)),),
    )
    first, second, third = hold_against(reviewed(FOUND), others).needles
    assert (second.deviation.id, second.deviation.planned_id) == ("N02", "P7")
    assert second.deviation.sideways_mm == pytest.approx(3.0)
    assert (third.error.id, third.error.tip_mm) == ("N03", pytest.approx(1.0))
    assert (first.change.kind, first.change.deeper_mm) == (ChangeKind.moved, pytest.approx(8.0))
    assert (first.deviation, first.error, second.error, third.deviation) == (None,) * 4
    assert [one.change.kind for one in (second, third)] == [ChangeKind.new] * 2


def test_two_needles_with_the_same_number_are_not_mixed_up():
    twins = [needle("N01", 0.0), needle("N01", 50.0)]
    others = Others(plan=(needle("P2", 50.0),), reference=(needle("R2", 50.0),))
    first, second = hold_against(reviewed(twins), others).needles
    assert (first.deviation, first.error) == (None, None)
    assert (second.deviation.planned_id, second.error.reference_id) == ("P2", "R2")


def test_rejected_needles_have_no_counterparts_and_are_gone():
    others = Others(before=tuple(FOUND), reference=tuple(FOUND))
    comparison = hold_against(reviewed(FOUND, rejected=["N02"]), others)
    assert comparison.needles[1].change is None
    assert comparison.sentences() == (
        "Against the CT before: 2 still, 1 gone.",
        "N02 is gone.",
        "2 of 3 reference needles found, 0 false; mean error 0.0 mm at the tips, 0.0 mm at the "
        "handles.",
        "Only in the reference: N02.",
    )


def test_an_earlier_ct_must_be_numbered():
    twice = replace(FOUND[1], id="N01")
    with pytest.raises(InputError, match="2 needles of the first CT are called N01"):
        hold_against(reviewed(FOUND), Others(before=(FOUND[0], twice)))


def test_lines_drawn_from_the_handles_are_told():
    turned = tuple(replace(n, tip_lps=n.handle_lps, handle_lps=n.tip_lps) for n in FOUND)
    told = hold_against(reviewed(FOUND), Others(plan=turned)).sentences()
    assert told == (
        "The plan seems to be drawn from the handles; draw each line from its tip outwards.",
    )
    assert hold_against(reviewed(FOUND), Others(reference=turned)).drawn_backwards == ("reference",)
    elsewhere = tuple(needle(n.id, 500.0) for n in FOUND)
    assert hold_against(reviewed(FOUND), Others(plan=elsewhere)).drawn_backwards == ()
