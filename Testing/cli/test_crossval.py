import json

import pytest

from needle_backend.ct.training.crossval import summary

FIGURES_2D = ("recall", "precision", "f1", "position_mae_mm", "angle_mae_deg")


def fold(f1):
    on_slices = dict.fromkeys(FIGURES_2D, f1)
    return {
        **dict.fromkeys(("precision", "recall", "f1"), f1),
        **dict.fromkeys(("tip_mae_mm", "handle_mae_mm", "angle_deg"), None),
        "detection_2d": {"tips": on_slices, "handles": on_slices},
    }


@pytest.fixture
def trained(monkeypatch):
    """Stand in for the training, which takes hours, with its result."""
    names = [f"case_{i:03d}" for i in range(6)]
    result = {
        "summary": summary([fold(0.8), fold(0.9)]),
        "per_case": {name: {"f1": 0.9} for name in names},
        "patients": {name: name for name in names},
    }
    orders = []

    def cross_validate(order, told):
        orders.append(order)
        return result

    monkeypatch.setattr("needle_backend.ct.training.crossval.cross_validate", cross_validate)
    return result, orders


def test_means_and_deviations_over_the_folds_are_printed(needles, trained, tmp_path):
    code, out, _ = needles(
        *("crossval", "ct", "--data", tmp_path, "--output", tmp_path / "out", "--folds", 2)
    )
    assert code == 0
    assert trained[1][0].folds == 2
    for title in ("Tips on slices", "Handles on slices", "Needles"):
        assert f"{title}, mean and sd over 2 folds" in out
    assert "0.85 +- 0.07" in out
    assert "Wilcoxon" not in out


def test_a_baseline_is_compared_patient_by_patient(needles, trained, tmp_path):
    baseline = tmp_path / "classical.json"
    per_case = {name: {"f1": 0.5 + i / 100} for i, name in enumerate(trained[0]["per_case"])}
    baseline.write_text(json.dumps({"per_case": per_case}))
    code, out, _ = needles(
        *("crossval", "ct", "--data", tmp_path, "--output", tmp_path / "out"),
        *("--baseline", baseline),
    )
    assert code == 0
    assert "better for 6, worse for 0" in out
    assert "p = 0.0312 (Wilcoxon, two-sided)" in out


@pytest.mark.parametrize("content", [None, "{", "[]", '{"f1": 1.0}'])
def test_a_baseline_that_is_no_report_is_refused_before_any_training(
    needles, trained, tmp_path, content
):
    baseline = tmp_path / "baseline.json"
    if content is not None:
        baseline.write_text(content)
    code, out, err = needles(
        *("crossval", "ct", "--data", tmp_path, "--output", tmp_path / "out"),
        *("--baseline", baseline),
    )
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert str(baseline) in err
    assert trained[1] == []


def test_a_folder_without_cases_is_refused(needles, tmp_path):
    code, _, err = needles("crossval", "ct", "--data", tmp_path, "--output", tmp_path / "out")
    assert code == 2
    assert "holds no cases" in err
