import json

import pytest

from needle_backend.us.tips import FrameAnswer, Tip
from needle_backend.us.track_table import write_tips

SEEN = {"visible": True, "tip": [120, 90], "box": [100, 80, 40, 20]}
UNSEEN = {"visible": False, "tip": None, "box": None}


@pytest.fixture
def sequence(tmp_path):
    """A sequence of three frames, two with a tip; one was found 5 px beside it."""
    folder = tmp_path / "sequence_000"
    folder.mkdir()
    truth = {"size": [640, 480], "fps": 20, "frames": [SEEN, SEEN, UNSEEN]}
    (folder / "truth.json").write_text(json.dumps(truth))
    found = FrameAnswer(0, 0.0, "detected", Tip(124.0, 93.0, 40.0, 20.0, 0.7))
    lost = [FrameAnswer(number, number / 20, "lost", None) for number in (1, 2)]
    write_tips(folder / "tips.csv", [found, *lost])
    return folder


def test_tips_are_compared_with_their_truth(needles, sequence):
    code, out, err = needles(
        "evaluate", "us", "--truth", sequence, "--predicted", sequence / "tips.csv"
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["rmse_px"] == 5.0
    assert report["miss_rate"] == 0.5
    assert set(report["ap"]) == {"0.1", "0.2", "0.3", "0.4", "0.5"}
    assert "ap_01_05" in report["per_sequence"]["sequence_000"]


def test_a_threshold_makes_unsure_tips_lost(needles, sequence):
    code, out, _ = needles(
        *("evaluate", "us", "--truth", sequence.parent, "--predicted", sequence.parent),
        *("--threshold", 0.8),
    )
    assert code == 0
    assert json.loads(out)["miss_rate"] == 1.0


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [("none", "tips.csv"), ("truth.json", "none.csv"), ("tips.csv", "tips.csv")],
)
def test_files_that_are_not_what_is_asked_for_are_refused(needles, sequence, truth, predicted):
    code, out, err = needles(
        "evaluate", "us", "--truth", sequence / truth, "--predicted", sequence / predicted
    )
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert str(sequence) in err


def test_a_wrong_row_is_named(needles, sequence):
    table = sequence / "tips.csv"
    table.write_text(table.read_text().replace("lost", "gone", 1))
    code, _, err = needles("evaluate", "us", "--truth", sequence, "--predicted", table)
    assert code == 2
    assert "tips.csv, line 3 has the state 'gone'" in err
