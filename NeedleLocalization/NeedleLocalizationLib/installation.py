"""Asks for, and on consent installs, the Python packages that the backend needs.

Torch comes through Slicer's PyTorch extension, which picks the build that fits the computer; the
rest through pip. Whether they are there is asked without importing them.
"""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from needle_backend.core.errors import InputError

TORCH = {"torch": ">=2.4", "torchvision": ">=0.19"}
"""What the PyTorch extension installs, and the versions needed."""
REQUIREMENTS_FILE = Path(__file__).parents[1] / "Resources" / "NeedleLocalizationRequirements.txt"


def missing_packages() -> list[str]:
    """Return the requirements that are not met, torch first."""
    import slicer.packaging

    torch = [name + versions for name, versions in TORCH.items()]
    others = [str(each) for each in slicer.packaging.load_requirements(REQUIREMENTS_FILE)]
    return [each for each in (*torch, *others) if not slicer.packaging.pip_check(each)]


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
    if not _user_agrees(missing):
        raise InputError(
            _("Finding needles needs Python packages that are not installed: {packages}.").format(
                packages=", ".join(missing)
            )
        )
    if any(each.startswith("torch") for each in missing):
        _install_torch()
    slicer.packaging.pip_ensure(
        slicer.packaging.load_requirements(REQUIREMENTS_FILE),
        prompt_install=False,
        requester="NeedleLocalization",
    )
    if still_missing := missing_packages():
        raise InputError(
            _("These packages could not be installed: {packages}. See the error log.").format(
                packages=", ".join(still_missing)
            )
        )


def _user_agrees(missing: list[str]) -> bool:
    if slicer.app.testingEnabled():
        return False
    return slicer.util.confirmOkCancelDisplay(
        _(
            "Finding needles needs Python packages that are not installed: {packages}.\n\n"
            "Download and install them into Slicer now? PyTorch alone takes several gigabytes, and "
            "Slicer does not answer while packages are installed."
        ).format(packages=", ".join(missing)),
        windowTitle=_("Install packages"),
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
