"""The module asks before it installs, and asks for what the backend needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import qt
import slicer
import slicer.packaging
from packaging.requirements import Requirement

from needle_backend.core.errors import InputError
from slicer_harness.needle_localization import IMPLANT, QuickLocalizer, result_of

ROOT = Path(__file__).parents[2]
COMES_WITH_SLICER = {"numpy", "scipy", "SimpleITK"}
FOR_THE_COMMAND_LINE_ONLY = {"typer", "rich"}


@pytest.fixture
def installation(needle_localization):
    from NeedleLocalizationLib import installation

    return installation


@pytest.fixture
def installed(monkeypatch):
    """What a computer has installed; pip and the PyTorch extension add to it."""
    packages: set[str] = set()

    class PyTorchUtilsLogic:
        def installTorch(self, **requirements):
            packages.update(("torch", "torchvision"))

    extension = ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    monkeypatch.setattr(
        slicer.packaging, "pip_check", lambda wanted: Requirement(str(wanted)).name in packages
    )
    monkeypatch.setattr(
        slicer.packaging,
        "pip_ensure",
        lambda wanted, **options: packages.update(each.name for each in wanted),
    )
    return packages


@pytest.fixture
def user_says(monkeypatch):
    """Answer the question that comes; keep its text."""
    asked: list[str] = []

    def answer(agreed: bool) -> list[str]:
        monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
        monkeypatch.setattr(
            slicer.util,
            "confirmOkCancelDisplay",
            lambda text, **options: asked.append(text) or agreed,
        )
        return asked

    return answer


def test_nothing_is_asked_when_everything_is_there(installation, installed, user_says):
    installed.update(("torch", "torchvision", "timm", "opencv-python-headless", "safetensors"))
    asked = user_says(False)
    installation.require_backend_packages()
    assert asked == []


def test_on_consent_all_that_is_missing_is_installed(installation, installed, user_says):
    asked = user_says(True)
    installation.require_backend_packages()
    assert "torch>=2.4" in asked[0]
    assert "timm" in asked[0]
    assert installation.missing_packages() == []


def test_without_consent_nothing_is_installed(installation, installed, user_says):
    user_says(False)
    with pytest.raises(InputError, match=r"not installed: torch>=2\.4"):
        installation.require_backend_packages()
    assert installed == set()


def test_in_testing_mode_nothing_is_asked_nor_installed(installation, installed):
    with pytest.raises(InputError):
        installation.require_backend_packages()
    assert installed == set()


def test_without_the_pytorch_extension_the_user_is_told_to_install_it(
    installation, installed, user_says, monkeypatch
):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    user_says(True)
    with pytest.raises(InputError, match="Install the extension PyTorch"):
        installation.require_backend_packages()


def test_what_could_not_be_installed_is_named(installation, installed, user_says, monkeypatch):
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda wanted, **options: None)
    user_says(True)
    with pytest.raises(InputError, match="could not be installed: .*timm"):
        installation.require_backend_packages()


# What writes DICOM


@pytest.fixture
def export_report(chosen_panel, apply, tmp_path, monkeypatch):
    """Export the needles as a DICOM structured report; return what the panel says."""
    apply(chosen_panel, QuickLocalizer(result_of(IMPLANT)))
    path = tmp_path / "needles.dcm"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(path))

    def export():
        chosen_panel.ui.formatComboBox.currentIndex = 4
        chosen_panel.ui.exportButton.click()
        return path, chosen_panel.ui.statusLabel.text

    return export


def test_dicom_is_written_once_the_user_agreed_to_install_what_writes_it(
    export_report, installed, user_says, dialogs
):
    pytest.importorskip("highdicom")
    installed.add("pydicom")
    user_says(False)
    path, text = export_report()
    assert "needs Python packages that are not installed: highdicom>=0.24." in text
    assert dialogs == [text]
    assert not path.exists()
    asked = user_says(True)
    path, text = export_report()
    assert len(asked) == 2
    assert asked[1].endswith("Download and install them into Slicer now?")
    assert "pydicom" not in asked[1]
    assert text.startswith("Written: ")
    assert path.is_file()
    export_report()
    assert len(asked) == 2


def test_what_writes_dicom_and_could_not_be_installed_is_named(
    installation, installed, user_says, monkeypatch
):
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda wanted, **options: None)
    user_says(True)
    with pytest.raises(InputError, match=r"could not be installed: highdicom>=0\.24"):
        installation.require_dicom_packages("highdicom")


def test_a_computer_without_network_is_told_what_is_missing(
    installation, installed, user_says, monkeypatch
):
    def fail(wanted, **options):
        raise subprocess.CalledProcessError(1, ["pip", "install"])

    monkeypatch.setattr(slicer.packaging, "pip_ensure", fail)
    user_says(True)
    with pytest.raises(InputError, match="could not be installed: highdicom"):
        installation.require_dicom_packages("highdicom")
    with pytest.raises(InputError, match="could not be installed: .*timm"):
        installation.require_backend_packages()


def test_slicer_installs_for_dicom_what_the_package_declares(installation):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = set(map(Requirement, project["optional-dependencies"]["dicom"]))
    assert declared == set(slicer.packaging.load_requirements(installation.DICOM_REQUIREMENTS_FILE))


def test_slicer_installs_what_the_package_declares(installation):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {each.name: each for each in map(Requirement, project["dependencies"])}
    asked_for = {
        each.name: each
        for each in slicer.packaging.load_requirements(installation.REQUIREMENTS_FILE)
    }
    torch = {name: Requirement(name + versions) for name, versions in installation.TORCH.items()}
    asked_for |= torch
    assert set(declared) - COMES_WITH_SLICER - FOR_THE_COMMAND_LINE_ONLY == set(asked_for)
    for name, requirement in asked_for.items():
        assert {str(each) for each in declared[name].specifier} <= {
            str(each) for each in requirement.specifier
        }
