import signal

import numpy as np
import pytest
import SimpleITK as sitk

from needle_backend.cli.app import run
from needle_backend.core.needles import LocateResult, Needle, NeedleCount

FOUND = (
    Needle((-9.0, 5.0, 12.0), (-30.0, 180.0, 20.0), 41.2, 0.93, (), "N01"),
    Needle((11.0, 6.0, 13.0), (12.0, 190.0, 22.0), 12.3, 0.41, ("its shaft fades",), "N02"),
)


@pytest.fixture(scope="session", autouse=True)
def commands_hear_ctrl_c():
    """Let commands under test be interrupted, even where a script started the tests with ``&``."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class StandInLocalizer:
    """Answers with a prepared result, and remembers what it was asked."""

    def __init__(self, result):
        self.result = result
        self.asked = []

    def locate(self, volume, options, progress, cancel):
        self.asked.append((volume, options))
        for stage in ("tophat", "network", "match"):
            cancel.raise_if_cancelled()
            progress(stage, 1.0)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def answer(monkeypatch):
    """Make `needles locate` answer with a result, or fail with an exception."""

    def put_in_place(result):
        localizer = StandInLocalizer(result)
        monkeypatch.setattr("needle_backend.cli.locate.make_localizer", lambda: localizer)
        return localizer

    return put_in_place


@pytest.fixture
def two_found():
    return LocateResult(
        FOUND,
        NeedleCount(2, estimated=True),
        device="cpu",
        weights="some",
        timings_s={"total": 1.0},
    )


@pytest.fixture
def ct_file(tmp_path):
    values = np.random.default_rng(4).integers(-1000, 1500, (6, 40, 50)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((5.0, 5.0, 5.0))
    path = tmp_path / "ct.nii.gz"
    sitk.WriteImage(image, path)
    return path


@pytest.fixture
def needles(capfd):
    """Run the command in this process; return its exit code, stdout and stderr."""

    def run_command(*arguments):
        code = run([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    return run_command
