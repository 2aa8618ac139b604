import json
from dataclasses import replace

import pytest

from needle_backend.core.markups import write_markups
from needle_backend.core.needles import Needle
from needle_backend.core.truth import write_truth

TRUE = [
    Needle((0.0, 0.0, 0.0), (0.0, 200.0, 0.0)),
    Needle((30.0, 0.0, 5.0), (30.0, 200.0, 5.0)),
]


@pytest.fixture
def case(tmp_path):
    """A case of which one needle was found, 2 mm beside the tip, and one that is not there."""
    folder = tmp_path / "case_000"
    folder.mkdir()
    write_truth(folder / "truth.json", TRUE, {})
    found = replace(TRUE[0], tip_lps=(2.0, 0.0, 0.0), id="N01")
    invented = Needle((-80.0, 0.0, 0.0), (-80.0, 200.0, 0.0), id="N02")
    write_markups(folder / "needles.mrk.json", [found, invented])
    return folder


@pytest.mark.parametrize("gate_mm", [5.0, 1.0])
def test_two_files_are_compared_within_the_gate(needles, case, gate_mm):
    code, out, err = needles(
        *("evaluate", "ct", "--truth", case / "truth.json"),
        *("--predicted", case / "needles.mrk.json", "--gate", gate_mm),
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    expected = 0.5 if gate_mm == 5.0 else 0.0
    assert (report["precision"], report["recall"], report["f1"]) == (expected,) * 3
    assert report["tip_mae_mm"] == (2.0 if gate_mm == 5.0 else None)
    assert {"handle_mae_mm", "angle_deg", "counts", "detection_2d"} <= report.keys()


def test_folders_of_cases_are_compared(needles, case):
    code, out, _ = needles("evaluate", "ct", "--truth", case.parent, "--predicted", case.parent)
    assert code == 0
    assert json.loads(out)["f1"] == 0.5


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ("truth.json", "none.mrk.json"),
        ("none.json", "needles.mrk.json"),
        ("needles.mrk.json", "needles.mrk.json"),
        ("truth.json", "truth.json"),
    ],
)
def test_files_that_are_not_what_is_asked_for_are_refused(needles, case, truth, predicted):
    code, out, err = needles(
        "evaluate", "ct", "--truth", case / truth, "--predicted", case / predicted
    )
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert str(case) in err


def test_a_folder_without_cases_is_refused(needles, tmp_path):
    code, _, err = needles("evaluate", "ct", "--truth", tmp_path, "--predicted", tmp_path)
    assert code == 2
    assert "holds no cases" in err
