"""What needles say of themselves."""

from __future__ import annotations

import pytest

from needle_backend.core.needles import confidence_in_words


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (1.0, ">99 %"),
        (0.996, ">99 %"),
        (0.99, "99 %"),
        (0.5, "50 %"),
        (0.004, "<1 %"),
        (0.0, "<1 %"),
        (None, ""),
    ],
)
def test_no_needle_is_said_to_be_certain_or_impossible(confidence, words):
    assert confidence_in_words(confidence) == words
