"""Asks for, and on consent installs, the Python packages that the module needs.

Torch comes through Slicer's PyTorch extension, which picks the build that fits the computer; the
rest through pip. Whether they are there is asked without importing them.
"""

from __future__ import annotations

import importlib
import logging
import subprocess
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from slicer.i18n import tr as _

from needle_backend.core.errors import InputError

TORCH = {"torch": ">=2.4", "torchvision": ">=0.19"}
"""What the PyTorch extension installs, and the versions needed."""
RESOURCES = Path(__file__).parents[1] / "Resources"
REQUIREMENTS_FILE = RESOURCES / "NeedleLocalizationRequirements.txt"
DICOM_REQUIREMENTS_FILE = RESOURCES / "NeedleLocalizationDicomRequirements.txt"


def missing_packages() -> list[str]:
    """Return the requirements that are not met, torch first."""
    import slicer.packaging

    torch = [name + versions for name, versions in TORCH.items()]
    others = [str(each) for each in slicer.packaging.load_requirements(REQUIREMENTS_FILE)]
    return [each for each in (*torch, *others) if not slicer.packaging.pip_check(each)]


def missing_dicom_packages(*names: str) -> list[str]:
    """Return those requirements for writing DICOM, of the packages named, that are not met."""
    import slicer.packaging

    needed = slicer.packaging.load_requirements(DICOM_REQUIREMENTS_FILE)
    return [
        str(each) for each in needed if each.name in names and not slicer.packaging.pip_check(each)
    ]


def require_backend_packages() -> None:
    """Make sure that all packages are there, installing them if the user agrees.

    Raises
    ------
    InputError
        When packages are missing and were not installed.
    """
    missing = missing_packages()
    if not missing:
        return
    purpose = _("Finding needles needs Python packages that are not installed: {packages}.")
    _ask_to_install(
        purpose,
        missing,
        _(
            "Download and install them into Slicer now? PyTorch alone takes several gigabytes, and "
            "Slicer does not answer while packages are installed."
        ),
    )
    if any(each.startswith("torch") for each in missing):
        _install_torch()
    _install(slicer.packaging.load_requirements(REQUIREMENTS_FILE))
    _require_none(missing_packages())


def require_dicom_packages(*names: str) -> None:
    """Make sure that packages which write DICOM are there, installing them if the user agrees.

    Raises
    ------
    InputError
        When one is missing and was not installed.
    """
    missing = missing_dicom_packages(*names)
    if not missing:
        return
    purpose = _("Writing this DICOM file needs Python packages that are not installed: {packages}.")
    _ask_to_install(purpose, missing, _("Download and install them into Slicer now?"))
    _install([Requirement(each) for each in missing])
    _require_none(missing_dicom_packages(*names))


def _ask_to_install(purpose: str, missing: list[str], question: str) -> None:
    sentence = purpose.format(packages=", ".join(missing))
    if slicer.app.testingEnabled() or not slicer.util.confirmOkCancelDisplay(
        f"{sentence}\n\n{question}", windowTitle=_("Install packages")
    ):
        raise InputError(sentence)


def _install(requirements: list[Requirement]) -> None:
    try:
        slicer.packaging.pip_ensure(
            requirements, prompt_install=False, requester="NeedleLocalization"
        )
    except subprocess.CalledProcessError as error:
        logging.error("pip failed: %s", error)  # who asked says what is missing
    importlib.invalidate_caches()  # what was looked for in vain is found from now on


def _require_none(still_missing: list[str]) -> None:
    if still_missing:
        raise InputError(
            _("These packages could not be installed: {packages}. See the error log.").format(
                packages=", ".join(still_missing)
            )
        )


def _install_torch() -> None:
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise InputError(
            _("Install the extension PyTorch in the Extensions Manager, then try again.")
        ) from error
    PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=False,
        torchVersionRequirement=TORCH["torch"],
        torchvisionVersionRequirement=TORCH["torchvision"],
    )
