from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle
from needle_backend.core.review_log import (
    SOFTWARE,
    Origin,
    ReviewEntry,
    ReviewLog,
    ReviewState,
    edit_in_words,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NEEDLE = Needle((1.0, 2.0, 3.0), (4.0, 6.0, 203.0), id="N03")

entries = st.builds(
    ReviewEntry, st.sampled_from(ReviewState), st.text(max_size=8), st.just("t"), st.text()
)


@given(entries=st.lists(entries, max_size=4).map(tuple))
def test_a_log_survives_being_kept_as_json(entries):
    assert ReviewLog.from_json(ReviewLog(entries).to_json()) == ReviewLog(entries)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_needle_nobody_touched_is_found(nothing):
    log = ReviewLog.from_json(nothing)
    assert (log.state, log.origin, log.in_words()) == (ReviewState.found, Origin.software, "")


def test_a_log_tells_who_did_what_and_when():
    log = ReviewLog().with_entry(ReviewState.found, SOFTWARE, at=NOON)
    later = NOON + timedelta(minutes=5)
    log = log.with_entry(ReviewState.edited, "mueller", "tip moved by 2.1 mm", later)
    log = log.with_entry(ReviewState.accepted, "mueller", at=later)
    assert log.state is ReviewState.accepted
    assert log.in_words() == (
        "found by NeedleGuide 2026-03-01T12:00:00Z; "
        "edited by mueller 2026-03-01T12:05:00Z (tip moved by 2.1 mm); "
        "accepted by mueller 2026-03-01T12:05:00Z"
    )


def test_times_are_noted_in_utc_wherever_the_clinic_is():
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert ReviewLog().with_entry(ReviewState.added, "sato", at=in_tokyo).entries[0].at == (
        "2026-03-01T12:00:00Z"
    )


@pytest.mark.parametrize(
    ("states", "origin"),
    [
        (["found", "accepted"], Origin.software),
        (["found", "edited", "accepted"], Origin.software_and_person),
        (["added", "edited"], Origin.person),
    ],
)
def test_who_placed_the_ends_is_told_apart_from_who_accepted_them(states, origin):
    log = ReviewLog()
    for state in states:
        log = log.with_entry(ReviewState(state), "somebody")
    assert log.origin is origin


@pytest.mark.parametrize("text", ["{", "5", "[1]", "[{}]", '[{"state": "lost", "by": "x"}]'])
def test_a_damaged_history_is_refused(text):
    with pytest.raises(InputError, match="review history is damaged"):
        ReviewLog.from_json(text)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (Needle((1, 2, 5.12), NEEDLE.handle_lps, id="N03"), "tip moved by 2.1 mm"),
        (
            Needle((1, 2, 4), (4, 6, 200), id="N07"),
            "tip moved by 1.0 mm, handle moved by 3.0 mm, renumbered from N03",
        ),
        (Needle(NEEDLE.handle_lps, NEEDLE.tip_lps, id="N03"), "tip and handle swapped"),
        (NEEDLE, ""),
    ],
)
def test_an_edit_is_told_in_words(after, words):
    assert edit_in_words(NEEDLE, after) == words


def test_a_new_number_for_a_needle_nobody_touched_is_no_finding_of_that_person():
    log = ReviewLog().with_entry(ReviewState.found, "mueller", "renumbered from N03", at=NOON)
    assert log.in_words().startswith("renumbered from N03 by mueller 2026-")
