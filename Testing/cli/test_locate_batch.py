"""`needles locate --batch` on a folder of studies."""

import csv

import numpy as np
import pytest
from ct.untrained import write_untrained_weights

from needle_backend.core.volume import Volume
from needle_backend.core.volume_io import write_volume


@pytest.fixture
def batch(tmp_path, needles):
    """Run `needles locate --batch` on two good studies and, later, what a test adds."""
    values = np.random.default_rng(0).integers(-1000, 1500, (4, 64, 64)).astype(np.int16)
    for name in ("a", "b"):
        path = tmp_path / "in" / name / "ct.nii.gz"
        write_volume(path, Volume(values, (3.0, 3.0, 5.0), (0.0, 0.0, 0.0)))
    weights = write_untrained_weights(tmp_path)
    fixed = ("locate", tmp_path / "in", "--batch", "--weights", weights, "--device", "cpu")

    def run_command(*arguments):
        return needles(*fixed, "--output", tmp_path / "out", *arguments)

    return run_command


def summary(tmp_path):
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        return {row["study"]: row for row in csv.DictReader(file)}


def test_all_studies_of_a_folder_are_located_and_summed_up(batch, tmp_path):
    code, out, err = batch()
    assert (code, err) == (0, "")
    assert "2 studies located, 0 done before, 0 failed." in out
    assert {name: row["state"] for name, row in summary(tmp_path).items()} == {
        "a": "done",
        "b": "done",
    }
    assert (tmp_path / "out" / "a" / "needles.mrk.json").is_file()


@pytest.mark.slow
def test_relative_paths_hold_wherever_the_workers_are(batch, tmp_path, monkeypatch, needles):
    monkeypatch.chdir(tmp_path)
    weights = next(tmp_path.glob("*.safetensors")).name
    code, _, err = needles(
        *("locate", "in", "--batch", "--output", "out", "--weights", weights, "--device", "cpu"),
        *("--workers", 2),
    )
    assert (code, err) == (0, "")
    sources = [row["source"] for row in summary(tmp_path).values()]
    assert sources == [str(tmp_path / "in" / name / "ct.nii.gz") for name in ("a", "b")]


def test_a_second_run_only_does_what_is_new(batch, tmp_path):
    batch()
    (tmp_path / "in" / "b").rename(tmp_path / "in" / "c")
    _, out, _ = batch()
    assert "1 studies located, 1 done before, 0 failed." in out


def test_a_bad_study_is_told_at_the_end_and_stops_nothing(batch, tmp_path):
    (tmp_path / "in" / "aa.nii.gz").write_bytes(b"no volume")
    code, out, err = batch()
    assert code == 1
    assert "2 studies located, 0 done before, 1 failed." in out
    rows = summary(tmp_path)
    assert rows["aa"]["state"] == "failed"
    assert rows["aa"]["message"] in err
    assert "1 of 3 studies failed" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--csv", "x.csv"), "leave them out with --batch"),
        (("--json",), "leave them out with --batch"),
        (("--method", "classical"), "leave out --method"),
        (("--weights", "no-such"), "No weights at"),
        (("--pair-weights", "no-such"), "No weights at"),
        (("--dask", "nonsense://x"), "No Dask scheduler answers at"),
    ],
)
def test_options_that_do_not_fit_a_batch_are_refused(batch, tmp_path, arguments, sentence):
    code, _, err = batch(*arguments)
    assert code == 2
    assert sentence in err
    assert not (tmp_path / "out" / "summary.csv").exists()


def test_a_batch_needs_a_place_for_its_results(needles, tmp_path):
    code, _, err = needles("locate", tmp_path, "--batch")
    assert code == 2
    assert "--output" in err
