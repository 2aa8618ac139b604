import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.needles import Needle, number_needles
from needle_backend.core.quality import (
    QualityLimits,
    angle_to_axial_deg,
    check_quality,
    compare_with_plan,
)
from needle_backend.core.review_log import ReviewedNeedle, ReviewLog, ReviewState


def upright(id, x, y=0.0, length_mm=200.0, doubts=()):
    """A needle along S with its tip uppermost."""
    return Needle((x, y, length_mm), (x, y, 0.0), doubts=doubts, id=id)


def reviewed(*needles, state=ReviewState.found):
    return [ReviewedNeedle(n, ReviewLog().with_entry(state, "somebody")) for n in needles]


GOOD = (upright("N01", 0.0), upright("N02", 10.0), upright("N03", 22.0))


def test_a_good_set_has_nothing_amiss():
    quality = check_quality(reviewed(*GOOD), QualityLimits(count=3))
    assert quality.findings == ()
    assert quality.may_accept_all
    assert quality.in_words() == (
        "3 needles, 200 to 200 mm long (median 200), nearest neighbours 10.0 mm apart "
        "(median 10.0). 0 accepted, 0 rejected, 0 with open doubts."
    )


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (4, "3 needles, 1 fewer than the 4 expected."),
        (1, "3 needles, 2 more than the 1 expected."),
    ],
)
def test_a_wrong_count_is_told(count, sentence):
    assert check_quality(reviewed(*GOOD), QualityLimits(count=count)).findings == (sentence,)


def test_a_length_outside_the_limits_is_told():
    quality = check_quality(
        reviewed(*GOOD, upright("N04", 40.0, length_mm=150.0)),
        QualityLimits(length_mm=200.0, length_tolerance_mm=20.0),
    )
    assert quality.findings == ("Length outside 200 ± 20 mm: N04.",)


def test_crossing_is_told_apart_from_lying_side_by_side():
    slanted = Needle((10.0, 0.5, 200.0), (-10.0, 0.5, 0.0), id="N04")
    beside = upright("N05", 22.0, 1.5)
    quality = check_quality(reviewed(GOOD[0], GOOD[2], slanted, beside))
    assert quality.findings == (
        "Crossing: N01 and N04 (0.5 mm apart at 6°).",
        "Nearer than 3 mm: N03 and N05 (1.5).",
    )
    assert not quality.may_accept_all


def test_doubts_are_open_until_the_needle_is_accepted():
    doubtful = upright("N04", 40.0, doubts=("its shaft fades",))
    found = check_quality(reviewed(*GOOD, doubtful))
    assert (found.in_doubt, found.may_accept_all) == (("N04",), False)
    accepted = check_quality(reviewed(*GOOD, doubtful, state=ReviewState.accepted))
    assert (accepted.in_doubt, accepted.accepted, accepted.may_accept_all) == ((), 4, True)


def test_rejected_needles_do_not_count():
    rejected = reviewed(upright("N04", 0.5), state=ReviewState.rejected)
    quality = check_quality([*reviewed(*GOOD), *rejected], QualityLimits(count=3))
    assert (quality.count, quality.rejected, quality.findings) == (3, 1, ())


def test_no_needles_are_a_summary_too():
    quality = check_quality([], QualityLimits(count=2))
    assert quality.findings == ("No needles, 2 fewer than the 2 expected.",)
    assert quality.in_words() == "No needles. 0 accepted, 0 rejected, 0 with open doubts."
    assert not quality.may_accept_all


PLAN = tuple(replace(needle, id=f"P{i}") for i, needle in enumerate(GOOD, start=1))


def test_a_needle_is_held_against_its_own_planned_line():
    needle = Needle((13.0, 0.0, 204.0), (13.0, 0.0, 4.0), id="N01")
    deviations, not_planned, not_found = compare_with_plan([needle], PLAN)
    (deviation,) = deviations
    assert deviation.in_words() == "N01 is 5.0 mm from P2 (4.0 mm deeper, 3.0 mm aside, 0°)"
    assert (not_planned, not_found) == ((), ("P1", "P3"))


def test_where_along_its_line_a_plan_puts_the_handle_does_not_matter():
    short_lines = [replace(line, handle_lps=(line.handle_lps[0], 0.0, 150.0)) for line in PLAN]
    deviations, *others = compare_with_plan(GOOD, short_lines)
    assert [deviation.tip_mm for deviation in deviations] == pytest.approx([0, 0, 0])
    assert others == [(), ()]


def test_a_plan_gives_the_count_and_tells_what_lacks_and_what_is_too_much():
    far = upright("N04", 80.0)
    off = replace(GOOD[1], tip_lps=(10.0, 8.0, 200.0))
    quality = check_quality(reviewed(GOOD[0], off, far), plan=PLAN)
    assert quality.expected_count == 3
    assert quality.findings == (
        "N02 is 8.0 mm from P2 (0.0 mm deeper, 8.0 mm aside, 2°).",
        "Without a planned line: N04.",
        "Planned, but no needle there: P3.",
    )
    assert "Tips lie 4.0 mm from their planned places on average, 8.0 mm at most." in (
        quality.in_words()
    )


@pytest.mark.parametrize(
    ("handle", "angle_deg"), [((0, 0, -100), 90), ((0, 100, 0), 0), ((0, 100, 100), 45)]
)
def test_the_angle_to_the_axial_plane(handle, angle_deg):
    assert angle_to_axial_deg(Needle((0.0, 0.0, 0.0), handle)) == pytest.approx(angle_deg)


coordinates = st.floats(-200, 200, allow_nan=False)
points = st.tuples(coordinates, coordinates, coordinates)
sets_of_needles = st.lists(st.builds(Needle, tip_lps=points, handle_lps=points), max_size=6)


@given(needles=sets_of_needles, plan=sets_of_needles)
def test_every_needle_and_every_line_is_accounted_for_once(needles, plan):
    needles, plan = number_needles(needles), number_needles(plan)
    quality = check_quality(reviewed(*needles), plan=plan)
    if plan:
        with_line = [deviation.id for deviation in quality.deviations]
        with_needle = [deviation.planned_id for deviation in quality.deviations]
        assert sorted([*with_line, *quality.not_planned]) == [n.id for n in needles]
        assert sorted([*with_needle, *quality.not_found]) == [n.id for n in plan]
    json.dumps(quality.to_dict(), allow_nan=False)
