"""Labels on slices, from nothing but where a needle's ends are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ct.training.annotated import straight_needle, volume_with

from needle_backend.ct.training.annotated_labels import label_from_geometry
from needle_backend.ct.training.settings import GridSettings, SimulationSettings
from needle_backend.ct.training.simulate import simulate_case


def labels_of(needle):
    labels = label_from_geometry(needle, 0, volume_with([]))
    return {kind: [label for label in labels if label.kind == kind] for kind in ("tip", "handle")}


def test_an_end_in_the_middle_of_a_thick_slice_shows_on_that_slice_alone():
    labels = labels_of(straight_needle(40, 2))
    assert [(label.slice, label.column, label.row) for label in labels["tip"]] == [(2, 40, 150)]
    assert [(label.slice, label.column, label.row) for label in labels["handle"]] == [(2, 40, 20)]


def test_an_end_between_two_slices_shows_on_both():
    labels = labels_of(straight_needle(40, 2.5))
    assert [label.slice for label in labels["tip"]] == [2, 3]
    assert [label.slice for label in labels["handle"]] == [2, 3]


def test_angles_point_towards_the_other_end():
    labels = labels_of(straight_needle(40, 2))
    assert labels["tip"][0].angle_deg == pytest.approx(90)
    assert labels["handle"][0].angle_deg == pytest.approx(-90)


def test_a_tip_lies_on_each_slice_where_the_metal_ends_there():
    upright = straight_needle(40, 2)
    x, y, z = upright.tip_lps
    # So steep that the tip's last millimetres pass from slice 2 into slice 3.
    steep = replace(upright, tip_lps=(x, y, z + 1.0), handle_lps=(x, y - 100.0, z + 101.0))
    tips = labels_of(steep)["tip"]
    assert [label.slice for label in tips] == [2, 3]
    assert tips[0].row == pytest.approx(150)
    assert 149 > tips[1].row > 147


def test_an_end_beyond_the_last_slice_has_no_label():
    labels = labels_of(straight_needle(40, 8))
    assert labels == {"tip": [], "handle": []}


def test_simulated_cases_get_nearly_the_labels_of_their_own_rule():
    grid = GridSettings(slices=(6, 6), slice_mm=(5.0,), pixel_mm=(1.5, 1.5), matrix=256)
    settings = SimulationSettings(grid=grid)
    needles = replace(settings.needles, count=(12, 12), length_mm=(100.0,), tilt_deg=(0, 12))
    case = simulate_case(replace(settings, needles=needles), seed=2)
    simulated = {(end.kind, end.needle, end.slice) for end in case.slice_ends}
    geometric = {
        (end.kind, end.needle, end.slice)
        for index, needle in enumerate(case.needles)
        for end in label_from_geometry(needle, index, case.volume)
    }
    assert len(simulated & geometric) > 0.8 * len(simulated | geometric) > 10
