from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle, as_point
from needle_backend.core.rescan import ChangeKind, carry_numbers_over


def needle(id, x, depth_mm=0.0):
    """A needle along S at ``x``, its tip ``depth_mm`` deeper (cranial) than usual."""
    return Needle((x, 0.0, 100.0 + depth_mm), (x, 0.0, -100.0 + depth_mm), id=id)


def moved(needle, way):
    tip, handle = (as_point(np.add(end, way)) for end in (needle.tip_lps, needle.handle_lps))
    return replace(needle, tip_lps=tip, handle_lps=handle, id="")


BEFORE = [needle("N01", 0.0), needle("N02", 10.0), needle("N03", 20.0)]


def words(rescan):
    return [change.in_words() for change in rescan.changes]


def test_numbers_follow_the_nearest_needles_whatever_their_order():
    after = [moved(BEFORE[i], (0.5, 0.0, 0.0)) for i in (2, 0, 1)]
    rescan = carry_numbers_over(BEFORE, after)
    assert [n.id for n in rescan.needles] == ["N03", "N01", "N02"]
    assert {change.kind for change in rescan.changes} == {ChangeKind.still}
    assert rescan.in_words() == "Against the CT before: 3 still."


def test_a_needle_pushed_in_keeps_its_number_and_says_how_deep():
    after = [moved(BEFORE[0], (0, 0, 0)), moved(BEFORE[1], (0, 0, 8)), moved(BEFORE[2], (0, 0, 0))]
    rescan = carry_numbers_over(BEFORE, after)
    (change,) = rescan.of_kind(ChangeKind.moved)
    assert change.in_words() == "N02 moved: tip by 8.0 mm (8.0 mm deeper), handle by 8.0 mm"


def test_a_needle_pulled_back_lies_further_out():
    rescan = carry_numbers_over(BEFORE[:1], [moved(BEFORE[0], (0, 0, -5))])
    assert words(rescan) == ["N01 moved: tip by 5.0 mm (5.0 mm further out), handle by 5.0 mm"]


def test_needles_are_told_to_be_new_or_gone_and_new_ones_take_unused_numbers():
    after = [moved(BEFORE[0], (0, 0, 0)), needle("", 90.0), moved(BEFORE[2], (0, 0, 0))]
    rescan = carry_numbers_over(BEFORE, after)
    assert [n.id for n in rescan.needles] == ["N01", "N04", "N03"]
    assert words(rescan)[1] == "N02 is gone"
    assert words(rescan)[3] == "N04 is new"
    assert rescan.in_words() == "Against the CT before: 2 still, 1 new, 1 gone."


@given(
    spacings_mm=st.lists(st.floats(5.0, 12.0), min_size=4, max_size=12),
    gone=st.integers(0, 4),
)
def test_one_gone_and_one_new_leave_the_numbers_of_all_between_them(spacings_mm, gone):
    # Pairing as many as can be would have each needle take its neighbour's number.
    row = [needle(f"N{i:02d}", x) for i, x in enumerate(np.cumsum([0.0, *spacings_mm]), start=1)]
    after = [moved(n, (0, 0, 0)) for i, n in enumerate(row) if i != gone]
    after.append(needle("", row[-1].tip_lps[0] + 6.0))
    numbers = [n.id for n in carry_numbers_over(row, after).needles]
    assert numbers[:-1] == [n.id for i, n in enumerate(row) if i != gone]


@given(
    steps_mm=st.lists(st.floats(5.0, 12.0), min_size=5, max_size=12, unique=True),
    depths_mm=st.lists(st.floats(-15.0, 15.0), min_size=13, max_size=13),
    way=st.tuples(*[st.floats(-9.0, 9.0)] * 3),
)
def test_numbers_stay_when_the_patient_lies_differently(steps_mm, depths_mm, way):
    places = np.cumsum([0.0, *steps_mm])
    row = [
        needle(f"N{i:02d}", x, depth_mm)
        for i, (x, depth_mm) in enumerate(zip(places, depths_mm, strict=False), start=1)
    ]
    after = [moved(n, way) for n in row]
    assert [n.id for n in carry_numbers_over(row, after).needles] == [n.id for n in row]


def test_a_patient_who_lies_differently_is_not_taken_for_needles_that_moved():
    rescan = carry_numbers_over(BEFORE, [moved(n, (0, 6, 0)) for n in BEFORE])
    assert rescan.moved_together
    assert rescan.common_shift_lps == pytest.approx((0, 6, 0))
    assert "Most needles moved alike by 6 mm" in rescan.in_words()


def test_needles_each_going_its_own_way_moved_themselves():
    ways = [(0, 6, 0), (0, -6, 0), (6, 0, 0)]
    after = [moved(n, way) for n, way in zip(BEFORE, ways, strict=True)]
    assert not carry_numbers_over(BEFORE, after).moved_together


def test_nothing_before_and_nothing_after_are_no_change():
    rescan = carry_numbers_over([], [])
    assert (rescan.needles, rescan.changes) == ((), ())
    assert rescan.in_words() == "Against the CT before: no needles on either."


def test_doubled_numbers_are_refused():
    with pytest.raises(InputError, match="2 needles of the first CT are called N01"):
        carry_numbers_over([BEFORE[0], BEFORE[0]], [])


coordinates = st.floats(-200, 200, allow_nan=False)
points = st.tuples(coordinates, coordinates, coordinates)
sets_of_needles = st.lists(st.builds(Needle, tip_lps=points, handle_lps=points), max_size=6)


@given(before=sets_of_needles, after=sets_of_needles)
def test_every_needle_has_one_number_and_one_change(before, after):
    before = [replace(n, id=f"N{i:02d}") for i, n in enumerate(before, start=1)]
    rescan = carry_numbers_over(before, after)
    ids = [n.id for n in rescan.needles]
    assert len(set(ids)) == len(after)
    assert {change.id for change in rescan.changes} == {n.id for n in before} | set(ids)
    found_again = len(set(ids) & {n.id for n in before})
    assert len(rescan.changes) == len(before) + len(after) - found_again
    assert [(n.tip_lps, n.handle_lps) for n in rescan.needles] == [
        (n.tip_lps, n.handle_lps) for n in after
    ]
