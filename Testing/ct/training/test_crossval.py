"""Cross-validation: folds, figures over folds, and the comparison with a baseline."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.truth import write_truth
from needle_backend.ct.network import NetworkSettings
from needle_backend.ct.training.crossval import (
    CrossValidation,
    against_baseline,
    cross_validate,
    folds_of,
    summary,
)
from needle_backend.ct.training.dataset import CropSettings
from needle_backend.ct.training.factory import CaseOrder, simulate_cases
from needle_backend.ct.training.settings import GridSettings, SimulationSettings
from needle_backend.ct.training.splits import write_splits
from needle_backend.ct.training.train import ScheduleSettings, TrainSettings

TINY = TrainSettings(
    network=NetworkSettings(width=16, head_width=8),
    crops=CropSettings(size_px=64),
    schedule=ScheduleSettings(
        epochs=1, crops_an_epoch=4, batch=4, validation_share=0.5, validation_slices=1
    ),
)


def fold_report(f1, tip_mae_mm, tips_f1):
    figures = {"precision": f1, "recall": f1, "f1": f1, "handle_mae_mm": None, "angle_deg": None}
    tips = dict.fromkeys(("recall", "precision", "f1", "position_mae_mm", "angle_mae_deg"), tips_f1)
    return {
        **figures,
        "tip_mae_mm": tip_mae_mm,
        "detection_2d": {"tips": tips, "handles": tips},
    }


def test_figures_are_means_and_standard_deviations_over_folds():
    reports = [fold_report(0.8, 1.0, 0.7), fold_report(0.9, None, 0.9), fold_report(1.0, 2.0, 0.8)]
    figures = summary(reports)
    assert figures["needles_3d"]["f1"] == pytest.approx({"mean": 0.9, "sd": 0.1, "folds": 3})
    assert figures["tips_2d"]["f1"] == pytest.approx({"mean": 0.8, "sd": 0.1, "folds": 3})
    assert figures["needles_3d"]["tip_mae_mm"]["mean"] == 1.5
    assert figures["needles_3d"]["tip_mae_mm"]["folds"] == 2
    assert figures["needles_3d"]["angle_deg"] == {"mean": None, "sd": None, "folds": 0}


def results(values, patients):
    return {
        "per_case": {name: {"f1": value} for name, value in values.items()},
        "patients": patients,
    }


def test_a_baseline_is_compared_patient_by_patient():
    patients = {f"case_{i:03d}": f"p{i // 2}" for i in range(12)}
    ours = results(dict.fromkeys(patients, 0.9), patients)
    theirs = results({name: 0.5 + 0.01 * i for i, name in enumerate(patients)}, patients)
    comparison = against_baseline(ours, theirs)
    assert (comparison["patients"], comparison["better"]) == (6, 6)
    assert comparison["p_value"] == pytest.approx(2 / 2**6)


def test_a_case_without_needles_takes_no_part_in_the_comparison():
    patients = {"a": "p", "b": "q"}
    comparison = against_baseline(
        results({"a": 0.9, "b": None}, patients), results({"a": 0.8, "b": 0.0}, patients)
    )
    assert comparison["patients"] == 1


def test_a_baseline_that_lacks_a_case_is_refused():
    patients = {"a": "p", "b": "q"}
    with pytest.raises(InputError, match="no result for b"):
        against_baseline(results({"a": 0.9, "b": 1.0}, patients), results({"a": 0.8}, patients))


@pytest.fixture
def three_cases(tmp_path):
    """A folder of cases of which only the truth matters."""
    for name in ("case_000", "case_001", "case_002"):
        (tmp_path / name).mkdir()
        write_truth(tmp_path / name / "truth.json", [], {})
    return tmp_path


def test_the_folds_of_a_data_set_are_followed(three_cases):
    patient_of = {"case_000": "anna", "case_001": "bert", "case_002": "anna"}
    folds = [["case_001"], ["case_000", "case_002"]]
    write_splits(three_cases / "splits.json", folds, patient_of)
    assert folds_of(three_cases, 2) == (folds, patient_of)
    with pytest.raises(InputError, match="2 patients cannot be divided into 3"):
        folds_of(three_cases, 3)


def test_without_known_patients_every_case_is_one(three_cases):
    folds, patient_of = folds_of(three_cases, 3)
    assert sorted(folds) == [["case_000"], ["case_001"], ["case_002"]]
    assert len(set(patient_of.values())) == 3


def test_folds_of_other_cases_are_refused(three_cases):
    write_splits(three_cases / "splits.json", [["a"], ["b"]], {"a": "p", "b": "q"})
    with pytest.raises(InputError, match="divides other cases"):
        folds_of(three_cases, 2)


@pytest.mark.slow
def test_every_fold_is_trained_and_tested_once(tmp_path):
    grid = GridSettings(slices=(3, 3), slice_mm=(5.0,), pixel_mm=(1.5, 1.5), matrix=256)
    settings = SimulationSettings(grid=grid)
    needles = replace(settings.needles, count=(4, 4), length_mm=(100.0,), tilt_deg=(0, 1))
    settings = replace(settings, needles=needles)
    data = tmp_path / "data"
    list(simulate_cases(CaseOrder(settings, seed=1, cases=4, output=data)))
    order = CrossValidation(TINY, data, 2, tmp_path / "out", device="cpu")
    told: list[str] = []
    result = cross_validate(order, told.append)
    assert len(told) == 2
    assert sorted(result["per_case"]) == ["case_000", "case_001", "case_002", "case_003"]
    assert len(result["folds"]) == 2
    assert set(result["summary"]) == {"tips_2d", "handles_2d", "needles_3d"}
    assert result["summary"]["tips_2d"]["recall"]["folds"] == 2
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == result
    assert cross_validate(order, told.append) == result
    assert len(told) == 2, "a fold that has its report was done again"
