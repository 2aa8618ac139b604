"""What is imported is declared, and what is declared is pinned."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
RUNTIME = [Requirement(text) for text in PROJECT["dependencies"]]
DECLARED = RUNTIME + [Requirement(text) for extra in EXTRAS.values() for text in extra]
CONSTRAINTS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINS = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in CONSTRAINTS}
SOURCES = sorted((ROOT / "needle_backend").rglob("*.py"))


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_every_declared_package_is_pinned_to_a_version_in_its_range(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_every_pin_names_exactly_one_version():
    assert all(
        [specifier.operator for specifier in pin.specifier] in (["=="], ["==="])
        for pin in CONSTRAINTS
    )


def test_the_pinned_torch_is_never_a_build_for_the_cpu_alone():
    (torch,) = (pin for pin in CONSTRAINTS if pin.name == "torch")
    assert str(torch.specifier).startswith("===")
    assert "+" not in PINS["torch"]


def distributions_imported_by(source: Path) -> set[str]:
    tops = {name.split(".")[0] for name in imported_modules(source)}
    outside = tops - set(sys.stdlib_module_names) - {"needle_backend"}
    known = packages_distributions()
    return {canonicalize_name(known[top][0]) for top in outside}


def imported_modules(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_backend_imports_only_packages_it_declares(source):
    allowed = {canonicalize_name(requirement.name) for requirement in RUNTIME}
    for part, extra in (
        ("training", "train"),
        ("export", "dicom"),
        ("runner.py", "cluster"),
        ("stream.py", "stream"),
    ):
        if part in source.parts:
            allowed |= {canonicalize_name(Requirement(text).name) for text in EXTRAS[extra]}
    assert distributions_imported_by(source) - allowed == set()
