"""An implant is a value: what is done to it gives another one, and history goes back to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.core.review_log import ReviewState
from slicer_harness.needle_localization import DOUBTED, result_of


@pytest.fixture(scope="module")
def lib(needle_localization):
    """The module's parts; importable once Slicer has loaded the module."""
    from NeedleLocalizationLib import history, implant, judging, summary

    return implant, history, judging, summary


@pytest.fixture(scope="module")
def found(lib):
    lone = {"unmatched_tips": ((1.0, 2.0, 3.0),), "unmatched_handles": ((1.0, 2.0, -180.0),)}
    return lib[0].implant_of(result_of(DOUBTED, **lone))


def uid_of(implant, number):
    return next(record.uid for record in implant.needles if record.id == number)


ACTIONS = {
    "accept": lambda implant, uid: implant.accepted([uid]),
    "reject": lambda implant, uid: implant.rejected([uid]),
    "delete": lambda implant, uid: implant.without(uid),
    "swap": lambda implant, uid: implant.swapped(uid),
    "hide": lambda implant, uid: implant.shown(uid, False),
    "unlock": lambda implant, uid: implant.unlocked(uid),
    "renumber": lambda implant, uid: implant.renumbered(),
    "add": lambda implant, uid: implant.with_needle((0.0, 0.0, 0.0), (0.0, 9.0, -150.0))[0],
}
steps = st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 30)), max_size=55)


@settings(deadline=None, max_examples=15)
@given(steps=steps)
def test_any_fifty_steps_can_be_undone_to_the_start_and_redone_to_the_end(lib, found, steps):
    past = lib[1].History(found)
    implants = [found]
    for name, place in steps:
        needles = past.present.needles
        if needles:
            past.add(name, ACTIONS[name](past.present, needles[place % len(needles)].uid))
            implants.append(past.present)
    for earlier in reversed(implants[:-1]):
        assert past.undo() == earlier
    assert past.what_undo_takes_back == ""
    for later in implants[1:]:
        assert past.redo() == later
    assert past.what_redo_repeats == ""


def test_what_was_undone_is_gone_once_something_else_is_done(lib, found):
    past = lib[1].History(found)
    past.add("delete", found.without(found.needles[0].uid))
    past.undo()
    past.add("renumber", found.renumbered())
    assert past.what_redo_repeats == ""


def test_the_oldest_steps_are_forgotten_but_more_than_fifty_stay(lib, found):
    past = lib[1].History(found)
    for number in range(500):
        past.add(str(number), found)
    undone = 0
    while past.what_undo_takes_back:
        past.undo()
        undone += 1
    assert 50 <= undone < 500


def test_a_needle_that_was_moved_is_no_longer_as_sure_as_it_was(found):
    record = found.needles[12]
    moved = record.moved((0.0, 0.0, 0.0), record.handle_ras)
    assert (moved.state, moved.confidence, moved.doubts) == (ReviewState.edited, None, ())
    assert moved.uid == record.uid


def test_swapping_twice_gives_the_ends_back(found):
    uid = found.needles[3].uid
    assert found.swapped(uid).swapped(uid)[uid].ends_ras == found[uid].ends_ras


def test_renumbering_closes_gaps_and_keeps_every_needle_in_its_place(found):
    fewer = found.without(uid_of(found, "N03")).without(uid_of(found, "N07"))
    renumbered = fewer.renumbered()
    assert [record.id for record in renumbered.needles] == [f"N{i:02d}" for i in range(1, 15)]
    assert {r.uid: r.ends_ras for r in renumbered.needles} == {
        r.uid: r.ends_ras for r in fewer.needles
    }


def test_at_most_one_needle_can_be_dragged(found):
    first, second = found.needles[0].uid, found.needles[1].uid
    unlocked = found.unlocked(first).unlocked(second)
    assert [record.uid for record in unlocked.needles if record.editable] == [second]
    assert not any(record.editable for record in unlocked.unlocked(None).needles)


def test_an_added_needle_gets_a_number_and_a_colour_of_its_own(found):
    implant, uid = found.with_needle((0.0, 0.0, 0.0), (0.0, 0.0, -180.0))
    assert implant[uid].id == "N17"
    assert implant[uid].colour not in {record.colour for record in found.needles}
    assert implant[uid].state is ReviewState.added


def test_pairing_uses_up_the_ends(found):
    implant, uid = found.paired(0, 0)
    assert implant[uid].ends_ras == (found.lone_tips_ras[0], found.lone_handles_ras[0])
    assert (implant.lone_tips_ras, implant.lone_handles_ras) == ((), ())


def test_a_needle_that_was_kept_is_not_found_a_second_time(lib, found):
    kept = found.accepted([uid_of(found, "N03")]).hand_made
    merged = lib[0].implant_of(result_of(DOUBTED)).keeping(kept)
    assert [record.id for record in merged.needles] == [record.id for record in found.needles]
    assert merged[kept[0].uid] == kept[0]
    assert len({record.colour for record in merged.needles}) == 16


def test_only_a_needle_whose_number_is_taken_gets_another_one(lib, found):
    turned = found.swapped(uid_of(found, "N03"))
    merged = lib[0].implant_of(result_of(DOUBTED)).keeping(turned.hand_made)
    before = {record.ends_ras: record.id for record in found.needles}
    renamed = {before[r.ends_ras]: r.id for r in merged.needles if r.ends_ras in before}
    assert {old: new for old, new in renamed.items() if old != new} == {"N03": "N17"}


# What to doubt


def test_a_needle_dragged_onto_another_is_doubted(lib, found):
    first, second = found.needles[:2]
    moved = found.with_record(first.moved(second.tip_ras, second.handle_ras))
    doubts = lib[2].judged(moved, first.uid)[first.uid].doubts
    assert doubts[0] == "N02 within 0.0 mm"


def test_a_needle_that_crosses_another_is_doubted(lib, found):
    first, second = found.needles[0], found.needles[3]
    beyond = np.array(second.tip_ras) + np.subtract(second.tip_ras, first.tip_ras)
    moved = found.with_record(first.moved(tuple(beyond.tolist()), first.handle_ras))
    assert any(d.startswith("crosses") for d in lib[2].judged(moved, first.uid)[first.uid].doubts)


def test_an_odd_length_is_doubted(lib, found):
    record = found.needles[0]
    moved = found.with_record(record.moved(record.tip_ras, (35.0, 30.0, -100.0)))
    (doubt,) = lib[2].judged(moved, record.uid)[record.uid].doubts
    assert doubt.startswith("length off by 78 mm")


@pytest.mark.parametrize(("log_odds", "is_doubted"), [(-0.5, True), (0.5, False)])
def test_a_needle_that_the_picture_does_not_show_is_doubted(lib, found, log_odds, is_doubted):
    uid = found.needles[0].uid
    judged = lib[2].judged(found, uid, log_odds)[uid]
    assert ("the picture fits this needle poorly" in judged.doubts) == is_doubted
    assert judged.score == log_odds


def test_only_needles_that_nobody_decided_on_are_in_question(lib, found):
    from needle_backend.core.quality import QualityLimits

    decided = found.accepted([uid_of(found, "N05")]).rejected([uid_of(found, "N10")])
    undecided, questionable, question = lib[3].open_questions(decided, QualityLimits())
    assert len(undecided) == 14
    assert questionable == [uid_of(found, "N13")]
    assert "about N13." in question
