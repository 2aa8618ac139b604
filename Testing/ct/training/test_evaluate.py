"""Found, missed and false needles are counted as a reader would count them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.markups import write_markups
from needle_backend.core.needles import Needle
from needle_backend.core.truth import write_truth
from needle_backend.ct.training.evaluate import (
    compare,
    compare_ends,
    compare_with_baseline,
    evaluate_path,
)


def needle(x: float, tip_off=(0, 0, 0), handle_off=(0, 0, 0)) -> Needle:
    tip, handle = np.array([x, 0, 0]) + tip_off, np.array([x, 180, 0]) + handle_off
    return Needle(tuple(map(float, tip)), tuple(map(float, handle)))


TRUTH = (needle(0), needle(20), needle(40))


def write_case(folder: Path, truth, predicted=None, **extra) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_truth(folder / "truth.json", truth, extra)
    if predicted is not None:
        write_markups(folder / "needles.mrk.json", predicted)


def test_a_perfect_prediction_is_perfect(tmp_path):
    write_case(tmp_path, TRUTH, TRUTH[::-1])
    report = evaluate_path(tmp_path / "truth.json", tmp_path / "needles.mrk.json", 5.0)
    assert (report["precision"], report["recall"], report["f1"]) == (1, 1, 1)
    assert report["tip_mae_mm"] == report["handle_mae_mm"] == report["angle_deg"] == 0
    assert report["detection_2d"] is None


def test_both_ends_must_be_inside_the_gate():
    predicted = [needle(0, tip_off=(6, 0, 0)), needle(20, handle_off=(0, 0, 6)), needle(40)]
    assert compare(TRUTH, predicted, 5.0).pairs.tolist() == [[2, 2]]


def test_errors_are_told_by_end_and_axis(tmp_path):
    predicted = [needle(0, tip_off=(3, 0, -4)), needle(20, tip_off=(-3, 0, 4))]
    write_case(tmp_path, TRUTH, predicted)
    report = evaluate_path(tmp_path / "truth.json", tmp_path / "needles.mrk.json", 5.0)
    assert report["tip_mae_mm"] == pytest.approx(5)
    assert report["handle_mae_mm"] == pytest.approx(0)
    assert report["per_axis_mm"]["tip"] == pytest.approx({"x": 3, "y": 0, "z": 4})
    assert report["angle_deg"] == pytest.approx(np.degrees(np.arctan(5 / 180)), abs=1e-6)
    assert report["counts"]["missed"] == 1
    assert report["counts"]["false"] == 0


def test_as_many_needles_as_possible_are_found():
    # Nearest first would pair true 0 with predicted 1 and leave the other two beyond the gate.
    truth = [needle(0), needle(3.5)]
    predicted = [needle(-4.5), needle(1)]
    assert len(compare(truth, predicted, 5.0).pairs) == 2


def test_the_nearest_rule_stands_beside():
    truth = [needle(0), needle(3.5)]
    predicted = [needle(-4.5), needle(1)]
    assert compare(truth, predicted, 5.0).nearest == 1


def test_two_predictions_of_one_needle_are_one_hit_and_one_false():
    comparison = compare([needle(0)], [needle(0.5), needle(-0.4)], 5.0)
    assert comparison.pairs.tolist() == [[0, 1]]


def test_rates_fall_with_a_narrower_gate(tmp_path):
    predicted = [needle(0), needle(20, tip_off=(1.5, 0, 0)), needle(40, tip_off=(2.5, 0, 0))]
    write_case(tmp_path, TRUTH, predicted)
    gates = evaluate_path(tmp_path / "truth.json", tmp_path / "needles.mrk.json")["per_gate"]
    found = [gates[gate]["recall"] for gate in ("1", "2", "3", "5")]
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_folders_are_pooled_and_a_missing_prediction_misses_everything(tmp_path):
    write_case(tmp_path / "case_000", TRUTH, TRUTH)
    write_case(tmp_path / "case_001", TRUTH[:1])
    report = evaluate_path(tmp_path, tmp_path)
    assert report["missing_predictions"] == ["case_001"]
    assert report["recall"] == pytest.approx(3 / 4)
    assert report["per_case"]["case_000"]["f1"] == 1
    assert report["per_case"]["case_001"]["recall"] == 0
    json.dumps(report)


def test_a_case_without_needles_counts_false_ones(tmp_path):
    write_case(tmp_path / "case_000", (), TRUTH[:2])
    report = evaluate_path(tmp_path, tmp_path)
    assert report["counts"]["false"] == 2
    assert report["recall"] is None


def test_detections_on_slices_are_compared_where_they_were_written(tmp_path):
    label = {"kind": "tip", "needle": 0, "slice": 3, "column": 50.0, "row": 40.0, "angle_deg": 179}
    other = {**label, "kind": "handle", "row": 90.0}
    write_case(tmp_path, TRUTH, TRUTH, slice_ends=[label, other])
    image = sitk.Image(8, 8, 4, sitk.sitkInt16)
    image.SetSpacing((0.5, 0.5, 5.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    seen = [
        {**label, "column": 54.0, "angle_deg": -179, "score": 0.9},
        {**label, "slice": 1, "score": 0.3},
    ]
    (tmp_path / "detections.json").write_text(json.dumps(seen))
    report = evaluate_path(tmp_path / "truth.json", tmp_path / "needles.mrk.json")["detection_2d"]
    assert report["tips"]["recall"] == 1
    assert report["tips"]["precision"] == 0.5
    assert report["tips"]["position_mae_mm"] == pytest.approx(2)
    assert report["tips"]["angle_mae_deg"] == pytest.approx(2)
    assert report["handles"]["recall"] == 0


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", '[{"kind": "tip"}]'])
def test_detections_that_are_none_are_refused_by_name(tmp_path, content):
    write_case(tmp_path, TRUTH, TRUTH, slice_ends=[])
    sitk.WriteImage(sitk.Image(8, 8, 4, sitk.sitkInt16), str(tmp_path / "ct.nii.gz"))
    (tmp_path / "detections.json").write_text(content)
    with pytest.raises(InputError, match=r"detections\.json"):
        evaluate_path(tmp_path / "truth.json", tmp_path / "needles.mrk.json")


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no cases"):
        evaluate_path(tmp_path, tmp_path)


def test_a_missing_prediction_of_a_single_case_is_refused(tmp_path):
    write_case(tmp_path, TRUTH)
    with pytest.raises(InputError, match=r"\.mrk\.json"):
        evaluate_path(tmp_path / "truth.json", tmp_path / "nothing.mrk.json")


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.tuples(st.integers(0, 8), st.integers(0, 8)))
    return tuple(rng.uniform(-8, 8, (size, 2, 3)) + [[0, 0, 0], [0, 180, 0]] for size in sizes)


@given(two_sets())
def test_comparing_is_one_to_one_inside_the_gate_and_fair_to_both_sides(sets):
    true, predicted = sets
    pairs = compare_ends(true, predicted, 5.0).pairs
    assert len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])) == len(pairs)
    off = np.linalg.norm(true[pairs[:, 0]] - predicted[pairs[:, 1]], axis=-1)
    assert np.all(off <= 5)
    assert len(compare_ends(predicted, true, 5.0).pairs) == len(pairs)


def test_a_better_method_differs_from_its_baseline_and_an_equal_one_does_not():
    rng = np.random.default_rng(1)
    baseline = rng.uniform(0.6, 0.8, 20)
    better = compare_with_baseline(baseline + rng.uniform(0.02, 0.2, 20), baseline)
    assert better["p_value"] < 0.001
    assert (better["better"], better["worse"]) == (20, 0)
    assert compare_with_baseline(baseline, baseline)["p_value"] == 1


def test_results_of_different_patients_are_not_compared():
    with pytest.raises(InputError, match="3 patients cannot be compared with 2"):
        compare_with_baseline([1, 2, 3], [1, 2])
