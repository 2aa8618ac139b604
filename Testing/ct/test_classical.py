"""The baseline without a network: what it finds, and what it does not invent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ct.training.annotated import straight_needle, volume_with

from needle_backend.core.errors import Cancelled
from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.ct.classical import ClassicalLocalizer

NEEDLES = [straight_needle(30, 2), straight_needle(60, 2), straight_needle(90, 4)]
OPTIONS = LocateOptions(length_mm=130.0, length_tolerance_mm=40.0)


def located(volume, options=OPTIONS) -> LocateResult:
    return ClassicalLocalizer().locate(volume, options, no_progress, CancelToken())


def test_clear_needles_are_found_with_both_ends():
    result = located(volume_with(NEEDLES))
    assert result.count.value == 3
    assert result.count.estimated
    for found, true in zip(result.needles, NEEDLES, strict=True):
        assert np.linalg.norm(np.subtract(found.tip_lps, true.tip_lps)) < 2.0
        assert np.linalg.norm(np.subtract(found.handle_lps, true.handle_lps)) < 2.0
    assert [needle.id for needle in result.needles] == ["N01", "N02", "N03"]


def test_a_shaft_may_be_invisible_for_a_while():
    volume = volume_with(NEEDLES[:1])
    faded = volume.array.copy()
    faded[:, 100:106] = 40
    (needle,) = located(replace(volume, array=faded)).needles
    assert needle.length_mm == pytest.approx(130, abs=2)


def test_no_more_needles_than_asked_for_are_drawn():
    result = located(volume_with(NEEDLES), replace(OPTIONS, count=2))
    assert len(result.needles) == 2
    assert len(result.surplus) == 1
    assert not result.count.estimated


def test_a_hub_without_a_shaft_is_told_and_not_made_a_needle():
    volume = volume_with(NEEDLES[:1])
    without_shaft = volume.array.copy()
    without_shaft[:, 35:70] = -1000
    without_shaft[:, 70:] = 40
    result = located(replace(volume, array=without_shaft))
    assert result.needles == ()
    np.testing.assert_allclose(result.unmatched_handles, [NEEDLES[0].handle_lps], atol=2.0)


def test_nothing_is_found_where_there_is_no_needle():
    result = located(volume_with([]))
    assert (result.needles, result.count.value) == ((), 0)


def test_a_needle_of_another_length_is_none():
    assert located(volume_with(NEEDLES), LocateOptions(length_mm=220.0)).needles == ()


def test_weights_that_were_given_are_said_to_be_unused():
    (warning,) = located(volume_with([]), replace(OPTIONS, weights="w18")).warnings
    assert "w18 was not used" in warning


def test_cancelling_ends_it():
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        ClassicalLocalizer().locate(volume_with(NEEDLES), OPTIONS, no_progress, cancel)
