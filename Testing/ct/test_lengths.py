"""Lengths that needles share are found, and speak for needles of that length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.ct.lengths import length_support, shared_lengths


def support(length_mm: float, witness_mm: list[float], weight: float = 1.0) -> float:
    weights = np.full((1, len(witness_mm)), weight)
    return float(length_support(np.array([length_mm]), np.array(witness_mm), weights, 130.0)[0])


def test_equal_lengths_speak_for_each_other_and_against_others():
    witnesses = [180.0, 180.4, 179.7, 180.9]
    assert support(180.2, witnesses) > 1
    assert support(195.0, witnesses) < -0.5


def test_several_lengths_may_share_a_case():
    witnesses = [150.2, 149.8, 150.1, 200.3, 199.6, 200.0]
    assert min(support(150.0, witnesses), support(200.0, witnesses)) > 1
    assert support(175.0, witnesses) < 0


def test_without_witnesses_no_length_is_better_than_another():
    assert support(180.0, []) == 0
    assert support(180.0, [180.0, 180.0], weight=0.0) == 0


@given(st.lists(st.floats(120, 250), max_size=20), st.floats(120, 250))
def test_support_is_bounded_by_the_number_of_witnesses(witnesses, length_mm):
    lowest = np.log(2 / (2 + len(witnesses)))
    assert lowest - 1e-9 <= support(length_mm, witnesses) < np.log(130 / 2.9)


def test_shared_lengths_come_with_the_most_agreed_first():
    witnesses = np.array([200.1, 150.2, 149.9, 150.0, 199.8, 173.0])
    shared = shared_lengths(witnesses, np.ones(6))
    assert shared == pytest.approx([150.0, 200.0], abs=0.2)


@pytest.mark.parametrize(
    ("witnesses", "weight"), [([], 1.0), ([180.0], 1.0), ([150, 170, 190], 1.0), ([180.0] * 4, 0.2)]
)
def test_few_unsure_or_scattered_witnesses_share_no_length(witnesses, weight):
    assert len(shared_lengths(np.array(witnesses, float), np.full(len(witnesses), weight))) == 0
