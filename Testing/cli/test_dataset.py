import json

from ct.training.annotated import straight_needle, volume_with

from needle_backend.core.truth import write_truth
from needle_backend.core.volume_io import write_volume

NEEDLES = [straight_needle(40, 2), straight_needle(70, 3)]


def annotate(folder, needles):
    write_volume(folder / "ct.nii.gz", volume_with(NEEDLES))
    write_truth(folder / "truth.json", needles, {})


def test_annotated_cases_become_a_data_set_with_folds_of_patients(needles, tmp_path):
    for place in ("anna/1", "anna/2", "bert/1", "carl/1"):
        annotate(tmp_path / "mine" / place, NEEDLES)
    code, out, err = needles(
        *("dataset", "ct", tmp_path / "mine", "--output", tmp_path / "set", "--folds", 3),
        *("--nnunet", tmp_path / "Dataset501_Needles"),
    )
    assert (code, err) == (0, "")
    assert "anna/2: case_001, 2 needles" in out
    assert "4 of 4 cases written" in out
    assert "3 patients divided into 3 folds" in out
    splits = json.loads((tmp_path / "set" / "splits.json").read_text())
    assert ["case_000", "case_001"] in splits["folds"]
    assert len(splits["folds"]) == 3
    assert (tmp_path / "Dataset501_Needles" / "dataset.json").exists()


def test_what_is_wrong_with_a_case_is_said_below_its_name(needles, tmp_path):
    annotate(tmp_path / "mine" / "anna", NEEDLES)
    annotate(tmp_path / "mine" / "bert", [*NEEDLES, NEEDLES[0]])
    code, out, _ = needles("dataset", "ct", tmp_path / "mine", "--output", tmp_path / "set")
    assert code == 0
    lines = out.splitlines()
    place = lines.index("bert: left out, 3 needles")
    assert lines[place + 1] == "  wrong: needles 1 and 3 are the same"
    assert "1 of 2 cases written" in out


def test_when_no_case_can_be_used_the_command_fails(needles, tmp_path):
    annotate(tmp_path / "mine" / "bert", [*NEEDLES, NEEDLES[0]])
    code, _, err = needles("dataset", "ct", tmp_path / "mine", "--output", tmp_path / "set")
    assert code == 2
    assert err.count("\n") == 1
    assert "can be used" in err


def test_a_name_that_nnunet_would_not_find_is_refused_before_the_work(needles, tmp_path):
    annotate(tmp_path / "mine" / "anna", NEEDLES)
    code, _, err = needles(
        *("dataset", "ct", tmp_path / "mine", "--output", tmp_path / "set"),
        *("--nnunet", tmp_path / "here"),
    )
    assert code == 2
    assert "Dataset501_Needles" in err
    assert not (tmp_path / "set").exists()
