"""``slicer.packaging``: says what is installed; installs nothing, as in testing mode."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and line[0] not in "#-"]


def pip_check(requirement: str | Requirement) -> bool:
    wanted = Requirement(str(requirement))
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def pip_ensure(requirements: list[Requirement], **options: object) -> None:
    """Install nothing."""
