"""Two needles that end side by side may share the one tip that was detected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from needle_backend.ct.ends import Ends
from needle_backend.ct.match import match
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.shaft import ShaftEvidence
from needle_backend.ct.shared_tips import with_second_claims

COST = 2.5


def two_on_one_tip(apart_mm: float, second_score: float) -> Pairs:
    """One detected tip, two hubs 10 mm apart; each pair's own end has been put right."""
    zeros = np.zeros(2)
    tips = np.array([[0.0, 0.0, 0.0], [apart_mm, 0.0, 0.0]])
    handles = np.array([[0.0, 180.0, 0.0], [10.0, 180.0, 0.0]])
    return Pairs(
        tip=np.zeros(2, int),
        handle=np.arange(2),
        seen_as=np.zeros(2, int),
        tips_lps=tips,
        handles_lps=handles,
        moved_mm=zeros,
        score=np.array([6.0, second_score]),
        published_score=zeros,
        length_mm=zeros + 180,
        length_support=zeros,
        tip_turn_deg=zeros,
        handle_turn_deg=zeros,
        tip_heatmap=zeros + 0.8,
        handle_heatmap=zeros + 0.8,
        shaft=ShaftEvidence(*(zeros for _ in range(7))),
    )


def chosen(pairs: Pairs) -> list[int]:
    handles_lps = np.array([[0.0, 180.0, 0.0], [10.0, 180.0, 0.0]])
    tips = Ends(np.zeros((1, 3)), np.zeros(1), np.ones(1), np.ones(1, int))
    handles = Ends(handles_lps, np.zeros(2), np.ones(2), np.ones(2, int))
    return sorted(pairs.handle[match(pairs, tips, handles, None).chosen].tolist())


def test_two_needles_that_end_side_by_side_are_both_found():
    pairs = two_on_one_tip(apart_mm=3.0, second_score=4.0)
    assert chosen(pairs) == [0]
    assert chosen(with_second_claims(pairs, COST)) == [0, 1]


def test_a_needle_that_ends_where_the_first_does_is_the_first():
    assert chosen(with_second_claims(two_on_one_tip(0.5, 4.0), COST)) == [0]


def test_a_second_needle_must_be_likelier_than_one_whose_tip_is_its_own():
    assert chosen(with_second_claims(two_on_one_tip(3.0, COST - 0.1), COST)) == [0]


def test_a_placed_tip_is_not_claimed_twice():
    pairs = two_on_one_tip(3.0, 4.0)
    placed = replace(pairs, tip=pairs.tip + 1)
    assert len(with_second_claims(placed, COST)) == 2


def test_no_pairs_make_no_claims():
    none = two_on_one_tip(3.0, 4.0).take(np.zeros(0, int))
    assert len(with_second_claims(none, COST)) == 0
