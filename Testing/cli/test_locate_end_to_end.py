"""`needles locate` with the shipped weights on the bundled sample."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from needle_backend.cli.agreement import agreement_with
from needle_backend.cli.app import run
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import LocateResult
from needle_backend.core.truth import read_truth
from needle_backend.core.weights import DEFAULT_CT_WEIGHTS, WEIGHTS_FOLDER

SAMPLE = Path(__file__).parents[2] / "Resources" / "Sample"
CT, TRUTH = SAMPLE / "sample_ct.nii.gz", SAMPLE / "truth.json"
WEIGHTS = WEIGHTS_FOLDER / f"{DEFAULT_CT_WEIGHTS}.safetensors"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"{WEIGHTS.name} is not there"),
    pytest.mark.skipif(not CT.is_file(), reason="the sample CT is not there"),
]


def located(capfd, *arguments) -> LocateResult:
    capfd.readouterr()
    assert run(["locate", *map(str, arguments), "--device", "cpu", "--json"]) == 0
    return LocateResult.from_dict(json.loads(capfd.readouterr().out))


@pytest.fixture(scope="module")
def of_the_sample(tmp_path_factory):
    """The sample's result, from a process as a user starts it, with everything it writes."""
    folder = tmp_path_factory.mktemp("outputs")
    command = [
        *(sys.executable, "-c", "from needle_backend.cli.app import main; main()"),
        *("locate", CT, "--device", "cpu", "--json", "--output", folder / "needles.mrk.json"),
        *("--csv", folder / "needles.csv", "--picture", folder / "overview.png"),
    ]
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    return process, folder


@pytest.fixture(scope="module")
def expected(of_the_sample):
    return LocateResult.from_dict(json.loads(of_the_sample[0].stdout))


def assert_same_needles(result, expected, within_mm=0.05):
    assert len(result.needles) == len(expected.needles)
    for needle, other in zip(result.needles, expected.needles, strict=True):
        np.testing.assert_allclose(needle.tip_lps, other.tip_lps, atol=within_mm)
        np.testing.assert_allclose(needle.handle_lps, other.handle_lps, atol=within_mm)


def test_the_samples_needles_are_found(expected):
    truth = read_truth(TRUTH)
    found = [error for error in agreement_with(truth, expected.needles).errors_mm if error]
    assert len(found) >= 0.8 * len(truth)
    assert len(found) >= 0.8 * len(expected.needles)


def test_a_run_ends_quietly_with_everything_written(of_the_sample, expected):
    process, folder = of_the_sample
    assert process.returncode == 0
    assert process.stderr == ""
    assert read_markups(folder / "needles.mrk.json") == expected.needles
    assert len((folder / "needles.csv").read_text().splitlines()) == 1 + len(expected.needles)
    assert (folder / "overview.png").stat().st_size <= 300_000


def test_another_run_gives_the_very_same_needles(capfd, expected):
    again = located(capfd, CT)
    assert again.needles == expected.needles
    assert again.unmatched_tips == expected.unmatched_tips


def test_what_was_done_is_told(expected):
    assert expected.device == "cpu"
    assert DEFAULT_CT_WEIGHTS in expected.weights
    stages = {"read", "tophat", "network", "match", "total"}
    assert stages <= expected.timings_s.keys()
    parts_s = sum(expected.timings_s[stage] for stage in stages - {"total"})
    assert expected.timings_s["total"] >= 0.9 * parts_s
    assert expected.count.estimated


@pytest.mark.parametrize(("orientation", "suffix"), [("RSA", ".nrrd"), ("PIR", ".mha")])
def test_a_flipped_and_permuted_sample_has_the_same_needles(
    capfd, tmp_path, expected, orientation, suffix
):
    turned = tmp_path / f"turned{suffix}"
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(CT), orientation), turned)
    assert_same_needles(located(capfd, turned), expected)


def test_floats_give_the_same_needles(capfd, tmp_path, expected):
    floats = tmp_path / "floats.nii.gz"
    sitk.WriteImage(sitk.Cast(sitk.ReadImage(CT), sitk.sitkFloat32), floats)
    assert_same_needles(located(capfd, floats), expected)


def test_an_oblique_sample_has_nearly_the_same_needles(capfd, tmp_path, expected):
    image = sitk.ReadImage(CT)
    turn = sitk.Euler3DTransform()
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint([n / 2 for n in image.GetSize()]))
    turn.SetRotation(0.0, 0.0, np.radians(6))
    # The same patient on a grid turned about the long axis: what an oblique reformat stores.
    grid = sitk.Image(image.GetSize(), image.GetPixelID())
    grid.SetSpacing(image.GetSpacing())
    grid.SetDirection(np.reshape(turn.GetMatrix(), (3, 3)).ravel().tolist())
    grid.SetOrigin(turn.TransformPoint(image.GetOrigin()))
    oblique = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -1000.0)
    sitk.WriteImage(oblique, tmp_path / "oblique.nii.gz")
    result = located(capfd, tmp_path / "oblique.nii.gz")
    assert any("tilted by 6.0 degrees" in warning for warning in result.warnings)
    agreement = agreement_with(expected.needles, result.needles)
    assert sum(error is not None for error in agreement.errors_mm) >= 0.8 * len(expected.needles)


def test_more_needles_than_there_are_are_not_invented(capfd, expected):
    result = located(capfd, CT, "--count", 80)
    assert result.count.value == 80
    assert not result.count.estimated
    assert len(result.needles) < 80
    ends = len(result.needles) * 2 + len(result.unmatched_tips) + len(result.unmatched_handles)
    assert ends >= 2 * len(expected.needles)


def test_a_ct_without_needles_has_none(capfd, tmp_path):
    rows, columns = np.indices((256, 256)) - 128.0
    body = np.where((rows / 70) ** 2 + (columns / 110) ** 2 < 1, 40, -1000)
    noise = np.random.default_rng(8).normal(0, 15, (12, 256, 256))
    image = sitk.GetImageFromArray((body + noise).astype(np.int16))
    image.SetSpacing((1.5, 1.5, 5.0))
    sitk.WriteImage(image, tmp_path / "phantom.nii.gz")
    result = located(capfd, tmp_path / "phantom.nii.gz")
    assert result.needles == ()
    assert result.count.value == 0


@pytest.mark.parametrize("damage", ["cut short", "altered"])
def test_damaged_weights_are_refused(capfd, tmp_path, damage):
    copy = tmp_path / WEIGHTS.name
    content = bytearray(WEIGHTS.read_bytes())
    if damage == "cut short":
        content = content[:-1000]
    else:
        content[-1000] ^= 1
    copy.write_bytes(content)
    shutil.copy(WEIGHTS.with_suffix(".json"), copy.with_suffix(".json"))
    capfd.readouterr()
    assert run(["locate", str(CT), "--device", "cpu", "--weights", str(copy)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "sha256" in err
    assert err.count("\n") == 1


def test_ctrl_c_while_the_network_runs_leaves_nothing(tmp_path):
    watch = (
        "import sys; from needle_backend.cli import app, locate; make = locate.make_localizer\n"
        "class Watched:\n"
        "    def locate(self, volume, options, progress, cancel):\n"
        "        tell = lambda stage, fraction: print(stage, flush=True)\n"
        "        return make().locate(volume, options, tell, cancel)\n"
        "locate.make_localizer = Watched\n"
        "sys.exit(app.run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", watch, "locate", CT, "--device", "cpu"]
    command += ["--output", tmp_path / "x.mrk.json", "--picture", tmp_path / "x.png"]
    process = subprocess.Popen(
        list(map(str, command)),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores Ctrl-C, and so does all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while "network" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "Interrupted; nothing half-written is left.\n"
    assert list(tmp_path.iterdir()) == []
