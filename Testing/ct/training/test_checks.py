"""What is wrong with an annotation is said in words, before anybody trains on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ct.training.annotated import straight_needle, volume_with

from needle_backend.ct.training.checks import LengthLimits, check_case

RIGHT = straight_needle(40, 2)


def moved(needle, **shift):
    """The needle with ends shifted by (x, y, z) mm."""
    ends = {name: tuple(np.add(getattr(needle, name), by)) for name, by in shift.items()}
    return replace(needle, **ends)


def findings_about(needles, drawn=(RIGHT,)):
    return check_case(volume_with(list(drawn)), tuple(needles), LengthLimits())


def test_a_right_annotation_gives_nothing_to_say():
    other = straight_needle(70, 3)
    assert findings_about([RIGHT, other], drawn=[RIGHT, other]) == ()


@pytest.mark.parametrize(
    ("needle", "sentence"),
    [
        (replace(RIGHT, tip_lps=RIGHT.handle_lps, handle_lps=RIGHT.tip_lps), "seem swapped"),
        (moved(RIGHT, tip_lps=(0, -40, 0)), "is 90 mm long, not 120 to 250 mm"),
        (moved(RIGHT, tip_lps=(0, 0, 60), handle_lps=(0, 0, 60)), "lies outside the volume"),
        (replace(RIGHT, handle_lps=RIGHT.tip_lps), "is 0 mm long"),
    ],
)
def test_what_would_teach_something_wrong_is_grave(needle, sentence):
    findings = findings_about([needle])
    assert any(sentence in finding.sentence and finding.grave for finding in findings)
    assert all("needle 1" in finding.sentence for finding in findings)


@pytest.mark.parametrize("turned", [False, True], ids=["same way", "from its handle"])
def test_a_needle_drawn_twice_is_grave(turned):
    again = moved(RIGHT, tip_lps=(1, 0, 0), handle_lps=(0, 1, 0))
    if turned:
        again = replace(again, tip_lps=again.handle_lps, handle_lps=again.tip_lps)
    findings = findings_about([RIGHT, again])
    assert any(finding.sentence == "needles 1 and 2 are the same" for finding in findings)
    assert any(finding.grave for finding in findings)


def test_an_end_beside_its_metal_is_something_to_look_at():
    (finding,) = findings_about([moved(RIGHT, tip_lps=(0, 10, 0))])
    assert finding.sentence == "the tip of needle 1 is not on metal"
    assert not finding.grave


def test_a_needle_where_there_is_none_is_something_to_look_at():
    sentences = [finding.sentence for finding in findings_about([RIGHT], drawn=[])]
    assert "the tip of needle 1 is not on metal" in sentences
    assert "the handle of needle 1 lies in air beside its hub" in sentences
    assert "only 0 % of the shaft of needle 1 shows metal" in sentences


def test_hubs_that_touch_are_hubs_all_the_same():
    bundle = [straight_needle(column, 2) for column in (40, 47, 54, 61)]
    assert findings_about(bundle, drawn=bundle) == ()


def test_a_case_without_needles_is_said_to_be_one():
    (finding,) = findings_about([])
    assert "no needle" in finding.sentence
    assert not finding.grave
