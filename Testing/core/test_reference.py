from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.needles import Needle, number_needles
from needle_backend.core.reference import compare_with_reference
from needle_backend.ct.training.evaluate import compare

TRUE = (
    Needle((0.0, 0.0, 200.0), (0.0, 0.0, 0.0), id="R1"),
    Needle((10.0, 0.0, 200.0), (10.0, 0.0, 0.0), id="R2"),
)


def test_each_needle_has_its_own_errors():
    needles = [
        replace(TRUE[1], tip_lps=(10.0, 3.0, 200.0), id="N01"),
        replace(TRUE[0], handle_lps=(0.0, 0.0, 1.0), id="N02"),
    ]
    comparison = compare_with_reference(needles, TRUE)
    first, second = comparison.errors
    assert (first.id, first.reference_id, first.tip_mm, first.handle_mm) == ("N01", "R2", 3.0, 0.0)
    assert first.angle_deg == pytest.approx(0.859, abs=0.001)
    assert (second.reference_id, second.handle_mm) == ("R1", 1.0)
    assert comparison.in_words() == (
        "2 of 2 reference needles found, 0 false; mean error 1.5 mm at the tips, 0.5 mm at the "
        "handles."
    )


def test_one_end_astray_makes_another_needle():
    astray = replace(TRUE[0], tip_lps=(0.0, 6.0, 200.0), id="N01")
    comparison = compare_with_reference([astray], TRUE[:1])
    assert (comparison.errors, comparison.false, comparison.missed) == ((), ("N01",), ("R1",))
    assert comparison.in_words() == "0 of 1 reference needles found, 1 false."


coordinates = st.integers(0, 8).map(float)
points = st.tuples(coordinates, coordinates, coordinates)
sets_of_needles = st.lists(st.builds(Needle, tip_lps=points, handle_lps=points), max_size=5).map(
    number_needles
)


@given(needles=sets_of_needles, reference=sets_of_needles)
def test_it_agrees_with_the_evaluation(needles, reference):
    comparison = compare_with_reference(needles, reference)
    evaluated = compare(reference, needles, 5.0)
    assert len(comparison.errors) == len(evaluated.pairs)
    ends = evaluated.predicted_ends[evaluated.pairs[:, 1]]
    off = ends - evaluated.true_ends[evaluated.pairs[:, 0]]
    total_mm = np.linalg.norm(off, axis=-1).sum()
    assert sum(e.tip_mm + e.handle_mm for e in comparison.errors) == pytest.approx(total_mm)
