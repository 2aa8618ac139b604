import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from core.dicom_writer import axial_positions, write_series
from ct.training.annotated import straight_needle, volume_with

from needle_backend.core.errors import BackendError, InputError
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import LocateOptions, LocateResult, NeedleCount
from needle_backend.core.truth import write_truth
from needle_backend.core.volume_io import write_volume


def test_the_needles_are_listed_and_an_estimated_number_is_said_to_be(
    needles, ct_file, answer, two_found
):
    answer(two_found)
    code, out, err = needles("locate", ct_file)
    assert code == 0
    assert "2 needles" in out
    assert "estimated" in out
    assert "N01" in out
    assert "N02 is doubtful: its shaft fades." in out
    assert err == ""


def test_json_is_the_whole_result_and_nothing_else_on_stdout(needles, ct_file, answer, two_found):
    answer(two_found)
    code, out, _ = needles("locate", ct_file, "--json", "--csv", ct_file.with_name("x.csv"))
    assert code == 0
    printed = LocateResult.from_dict(json.loads(out))
    assert printed.needles == two_found.needles
    assert printed.timings_s["read"] > 0


def test_options_reach_the_localizer(needles, ct_file, answer, two_found):
    localizer = answer(two_found)
    code, _, _ = needles(
        *("locate", ct_file, "--count", 7, "--length", 200, "--length-tolerance", 20),
        *("--device", "cpu", "--solver", "paper", "--weights", "w18"),
        *("--pair-weights", "p32"),
        *("--tip-threshold", 0.1, "--handle-threshold", 0.3),
    )
    assert code == 0
    assert localizer.asked[0][1] == LocateOptions(
        7, 200.0, 20.0, "cpu", "paper", "w18", "p32", tip_threshold=0.1, handle_threshold=0.3
    )


def test_markups_table_and_picture_are_written(needles, ct_file, answer, two_found):
    answer(two_found)
    folder = ct_file.parent / "not" / "there" / "yet"
    code, out, _ = needles(
        *("locate", ct_file, "--output", folder / "x.mrk.json"),
        *("--csv", folder / "x.csv", "--picture", folder / "x.png"),
    )
    assert code == 0
    assert read_markups(folder / "x.mrk.json") == two_found.needles
    with (folder / "x.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["N01", "N02"]
    assert (folder / "x.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder / "x.mrk.json") in out
    assert sorted(path.name for path in folder.iterdir()) == ["x.csv", "x.mrk.json", "x.png"]


def test_a_ct_without_needles_is_fine_and_said_plainly(needles, ct_file, answer):
    answer(LocateResult((), NeedleCount(0, estimated=True)))
    code, out, _ = needles("locate", ct_file, "--output", ct_file.with_name("x.mrk.json"))
    assert code == 0
    assert "No needles found" in out
    assert read_markups(ct_file.with_name("x.mrk.json")) == ()


def test_fewer_needles_than_asked_for_are_said_with_the_ends_left_over(
    needles, ct_file, answer, two_found
):
    fewer = replace(
        two_found,
        count=NeedleCount(5, estimated=False),
        unmatched_tips=((1.0, 2.0, 3.0),),
        unmatched_handles=((4.0, 5.0, 6.0), (7.0, 8.0, 9.0)),
    )
    answer(fewer)
    code, out, _ = needles("locate", ct_file, "--count", 5)
    assert code == 0
    assert "2 needles found" in out
    assert "fewer than the 5 asked for" in out
    assert "1 tip without a partner, at 1.0 2.0 3.0" in out
    assert "2 handles without a partner" in out


def test_a_known_truth_shows_each_needles_errors(needles, ct_file, answer, two_found):
    answer(two_found)
    first = two_found.needles[0]
    moved = replace(first, tip_lps=(-9.0, 8.0, 12.0))
    truth = ct_file.with_name("truth.json")
    write_truth(truth, [moved], {})
    code, out, _ = needles("locate", ct_file, "--truth", truth)
    assert code == 0
    row = next(line for line in out.splitlines() if "N01" in line)
    assert row.split()[-2:] == ["3.0", "0.0"]
    assert "none near" in next(line for line in out.splitlines() if "N02" in line)
    assert "1 of 1 true needles found within 5 mm, 1 false; mean error 3.0 mm at the tips" in out


def test_warnings_go_to_stderr_once(needles, ct_file, answer, two_found):
    answer(replace(two_found, warnings=("Slow.", "Slow.")))
    code, out, err = needles("locate", ct_file, "--json")
    assert code == 0
    assert err == "Warning: Slow.\n"
    assert json.loads(out)["warnings"] == ["Slow."]


def assert_refused(answer_of_command, *words):
    """Exit code 2 and one plain sentence on stderr."""
    code, out, err = answer_of_command
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith(".\n")
    assert "Traceback" not in err
    for word in words:
        assert word in err


@pytest.mark.parametrize("count", [0, -3, "many"])
def test_a_count_that_is_no_positive_number_is_refused(needles, ct_file, answer, two_found, count):
    localizer = answer(two_found)
    assert_refused(needles("locate", ct_file, "--count", count), "--count")
    assert localizer.asked == []


@pytest.mark.parametrize("length", [0, -200, "nan"])
def test_a_length_that_is_no_length_is_refused(needles, ct_file, answer, two_found, length):
    localizer = answer(two_found)
    assert_refused(needles("locate", ct_file, "--length", length), "--length")
    assert localizer.asked == []


def test_an_input_that_is_not_there_is_refused(needles, tmp_path):
    assert_refused(needles("locate", tmp_path / "none.nii.gz"), "none.nii.gz does not exist")


def test_an_input_cut_short_is_refused(needles, ct_file):
    ct_file.write_bytes(ct_file.read_bytes()[:3000])
    assert_refused(needles("locate", ct_file), "ct.nii.gz is cut short")


def test_a_truth_that_is_none_is_refused_before_the_work(needles, ct_file, answer, two_found):
    localizer = answer(two_found)
    assert_refused(needles("locate", ct_file, "--truth", ct_file.with_name("no")), "no cannot be")
    assert localizer.asked == []


@pytest.mark.parametrize("option", ["--output", "--csv", "--picture"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    needles, ct_file, answer, two_found, option
):
    localizer = answer(two_found)
    name = {"--output": "x.mrk.json", "--csv": "x.csv", "--picture": "x.png"}[option]
    assert_refused(needles("locate", ct_file, option, ct_file / name), "cannot be written")
    assert localizer.asked == []


@pytest.mark.parametrize(
    ("option", "name", "ending"),
    [
        ("--output", "truth.json", ".mrk.json"),
        ("--csv", "x", ".csv"),
        ("--picture", "x.jpg", ".png"),
    ],
)
def test_an_output_of_another_kind_is_refused(
    needles, ct_file, answer, two_found, option, name, ending
):
    answer(two_found)
    assert_refused(needles("locate", ct_file, option, ct_file.with_name(name)), f"end in {ending}")


def test_what_the_localizer_refuses_is_told(needles, ct_file, answer):
    answer(InputError("weights.safetensors is altered; install it again."))
    assert_refused(needles("locate", ct_file), "is altered")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (BackendError("The GPU went away."), "The GPU went away."),
        (RuntimeError("two\nlines"), "Unexpected RuntimeError: two lines"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_failures_end_with_one_and_a_sentence(needles, ct_file, answer, failure, told):
    answer(failure)
    output = ct_file.with_name("x.mrk.json")
    code, out, err = needles("locate", ct_file, "--output", output)
    assert code == 1
    assert out == ""
    assert told in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_an_interruption_leaves_nothing(needles, ct_file, answer):
    answer(KeyboardInterrupt())
    output = ct_file.with_name("x.mrk.json")
    code, out, err = needles("locate", ct_file, "--output", output)
    assert code == 130
    assert out == ""
    assert err == "Interrupted; nothing half-written is left.\n"
    assert [path.name for path in ct_file.parent.iterdir()] == [ct_file.name]


def test_of_two_dicom_series_one_is_asked_for_and_can_be_given(
    needles, tmp_path, answer, two_found
):
    localizer = answer(two_found)
    array = np.random.default_rng(1).integers(-1000, 1000, (4, 20, 20))
    for number in (2, 3):
        write_series(tmp_path, array, axial_positions([0, 5, 10, 15]), number=number)
    assert_refused(needles("locate", tmp_path), "2 CT series", "--series")
    assert localizer.asked == []
    assert needles("locate", tmp_path, "--series", 3)[0] == 0


def test_the_classical_method_finds_needles_without_a_network(needles, tmp_path):
    true = straight_needle(40, 2)
    write_volume(tmp_path / "ct.nii.gz", volume_with([true]))
    code, out, _ = needles(
        *("locate", tmp_path / "ct.nii.gz", "--method", "classical", "--json"),
        *("--length", 130, "--length-tolerance", 40),
    )
    assert code == 0
    result = LocateResult.from_dict(json.loads(out))
    (found,) = result.needles
    np.testing.assert_allclose(found.tip_lps, true.tip_lps, atol=2.0)
    assert result.weights == "the classical method"
