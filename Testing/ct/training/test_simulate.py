"""Simulated implant CTs and what is known about them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.geometry import polar_angle_deg
from needle_backend.core.settings import read_toml
from needle_backend.core.truth import read_truth
from needle_backend.core.volume_io import read_volume
from needle_backend.ct.training.factory import CaseOrder, simulate_cases
from needle_backend.ct.training.settings import (
    GridSettings,
    SimulationSettings,
)
from needle_backend.ct.training.simulate import SimulatedCase, simulate_case

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = SimulationSettings(grid=GridSettings(slices=(8, 8), slice_mm=(5.0,), matrix=320))


@pytest.fixture(scope="module")
def clinical_cases() -> list[SimulatedCase]:
    clinical = read_toml(SimulationSettings, BENCHMARKS / "ct_clinical.toml")
    smaller = replace(clinical, grid=replace(clinical.grid, slices=(9, 10)))
    return [simulate_case(smaller, seed) for seed in range(5)]


def test_the_same_seed_gives_the_same_case():
    first, second = simulate_case(SMALL, 5), simulate_case(SMALL, 5)
    np.testing.assert_array_equal(first.volume.array, second.volume.array)
    assert first.needles == second.needles
    assert first.slice_ends == second.slice_ends


def test_another_seed_gives_another_case():
    first, second = simulate_case(SMALL, 5), simulate_case(SMALL, 6)
    assert first.needles != second.needles


def test_values_are_hounsfield_units_of_a_scanner(clinical_cases):
    for case in clinical_cases:
        assert case.volume.array.dtype == np.int16
        assert case.volume.array.min() >= -1024
        assert case.volume.array.max() <= 3071
        air = np.percentile(case.volume.array, 5)
        assert air < -900


def test_clinical_cases_have_4_to_30_needles_of_150_to_210_mm(clinical_cases):
    for case in clinical_cases:
        assert 4 <= len(case.needles) <= 30
        for needle in case.needles:
            assert 145 < needle.length_mm < 215


def test_a_quarter_of_the_needles_has_another_axis_within_3_mm(clinical_cases):
    close = sum(case.facts["needles_with_another_within_3_mm"] for case in clinical_cases)
    assert close >= 0.25 * sum(len(case.needles) for case in clinical_cases)


def test_a_tenth_of_the_needles_is_bowed(clinical_cases):
    bowed = sum(case.facts["bowed_needles"] for case in clinical_cases)
    assert bowed >= 0.1 * sum(len(case.needles) for case in clinical_cases)


def test_tips_lie_in_the_body_and_hubs_in_the_air(clinical_cases):
    for case in clinical_cases:
        for needle in case.needles:
            around_tip = _near(case, needle.tip_lps, 6)
            around_hub = _near(case, needle.handle_lps, 12)
            assert np.median(around_tip) > -300
            assert np.percentile(around_hub, 30) < -500


def test_every_labelled_end_is_brighter_than_what_is_around(clinical_cases):
    visible = []
    for case in clinical_cases:
        for end in case.slice_ends:
            spot = case.volume.ijk_to_lps(np.array([end.column, end.row, end.slice]))
            patch = _near(case, spot, 3, end.slice)
            visible.append(patch.max() - np.median(_near(case, spot, 8, end.slice)))
    assert np.mean(np.array(visible) > 50) > 0.95


def test_labels_point_to_the_needles_other_end(clinical_cases):
    for case in clinical_cases:
        for end in case.slice_ends:
            needle = case.needles[end.needle]
            towards = np.subtract(needle.handle_lps, needle.tip_lps)
            expected = polar_angle_deg(towards if end.kind == "tip" else -towards)
            assert abs((end.angle_deg - expected + 180) % 360 - 180) < 0.1


def test_labels_lie_within_millimetres_of_the_true_end(clinical_cases):
    for case in clinical_cases:
        for end in case.slice_ends:
            needle = case.needles[end.needle]
            truth = needle.tip_lps if end.kind == "tip" else needle.handle_lps
            spot = case.volume.ijk_to_lps(np.array([end.column, end.row, end.slice]))
            assert np.hypot(*(spot - truth)[:2]) < 4.5


def test_a_folder_of_cases_goes_on_where_it_stopped(tmp_path):
    order = CaseOrder(SMALL, seed=3, cases=2, output=tmp_path)
    first = next(iter(simulate_cases(order)))
    stamp = (first / "truth.json").stat().st_mtime_ns
    folders = list(simulate_cases(order))
    assert [folder.name for folder in folders] == ["case_000", "case_001"]
    assert (first / "truth.json").stat().st_mtime_ns == stamp
    assert not list(tmp_path.glob(".*"))
    assert json.loads((folders[1] / "truth.json").read_text())["simulated"]["template"] in (0, 1)


def test_a_written_case_is_read_back_as_it_was(tmp_path):
    (folder,) = simulate_cases(CaseOrder(SMALL, seed=4, cases=1, output=tmp_path))
    volume = read_volume(folder / "ct.nii.gz")
    needles = read_truth(folder / "truth.json")
    assert volume.array.shape == (8, 320, 320)
    for needle in needles:
        i, j, k = np.rint(volume.lps_to_ijk(needle.tip_lps)).astype(int)
        assert 0 <= k < 8 and 0 <= j < 320 and 0 <= i < 320


def test_needles_can_stand_in_a_real_ct(tmp_path):
    from needle_backend.ct.training.factory import write_case

    stand_in = simulate_case(replace(SMALL, needles=replace(SMALL.needles, count=(0, 0))), 1)
    write_case(stand_in, tmp_path)
    case = simulate_case(SMALL, 2, [tmp_path / "ct.nii.gz"])
    assert case.facts["background"] == "ct.nii.gz"
    assert case.needles


def test_settings_with_an_unknown_name_are_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[needles]\ncolour = 3\n")
    with pytest.raises(InputError, match="colour"):
        read_toml(SimulationSettings, path)


def test_settings_of_a_wrong_type_are_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('[grid]\nmatrix = "large"\n')
    with pytest.raises(InputError, match="matrix"):
        read_toml(SimulationSettings, path)


def _near(case: SimulatedCase, point: np.ndarray, reach: int, k: int | None = None) -> np.ndarray:
    i, j, nearest = np.rint(case.volume.lps_to_ijk(np.asarray(point))).astype(int)
    plane = case.volume.array[nearest if k is None else k]
    return plane[max(0, j - reach) : j + reach + 1, max(0, i - reach) : i + reach + 1]


def with_patient(**changes: float) -> SimulationSettings:
    return replace(SMALL, patient=replace(SMALL.patient, **changes))


def test_guide_tubes_change_nothing_but_what_stands_in_the_air():
    plain, tubed = simulate_case(SMALL, 5), simulate_case(with_patient(guide_tube_share=1.0), 5)
    assert tubed.needles == plain.needles
    assert tubed.facts["guide_tubes"] > 0
    assert (tubed.volume.array.astype(int) - plain.volume.array).max() > 50


def test_a_bare_implant_keeps_seeds_and_template_but_no_needle():
    bare = with_patient(bare_share=1.0, template_share=1.0, seeds_share=1.0, guide_tube_share=1.0)
    cases = [simulate_case(bare, seed) for seed in range(4)]
    assert not any(case.needles or case.slice_ends for case in cases)
    assert any(case.facts["seeds"] for case in cases)
    assert any(case.facts["template"] for case in cases)
    assert any(case.facts["guide_tubes"] for case in cases)
