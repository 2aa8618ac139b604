"""One way only: modules -> service -> ct, us -> core <- export; training -> ct, us; cli on top."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "needle_backend"
SLICER_MODULES = ("NeedleLocalization", "NeedleTipUS")

NEVER_IMPORTED_BY = {
    "core": ("ct", "us", "service", "export", "cli"),
    "ct": ("us", "service", "export", "cli", "ct.training"),
    "us": ("ct", "service", "export", "cli", "us.training"),
    "service": ("export", "cli", "ct.training", "us.training"),
    "export": ("ct", "us", "service", "cli"),
    "ct/training": ("us", "service", "export", "cli"),
    "us/training": ("ct", "service", "export", "cli"),
    "cli": (),
}


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(source: Path, *, only_at_top: bool = False) -> Iterator[str]:
    """Yield the dotted names imported, both of "from a import b" as "a" and as "a.b"."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in outside_functions(tree) if only_at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} imports relative to itself; use full names"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the file is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def is_or_is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def domain_of(source: Path) -> str:
    parts = source.relative_to(BACKEND).parts
    nested = "/".join(parts[:2])
    return nested if nested in NEVER_IMPORTED_BY else parts[0]


@pytest.mark.parametrize("folder", sorted(NEVER_IMPORTED_BY))
def test_no_arrow_points_back(folder):
    forbidden = [f"needle_backend.{name}" for name in NEVER_IMPORTED_BY[folder]]
    sources = [path for path in python_files(BACKEND / folder) if domain_of(path) == folder]
    backwards = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources
        for name in imports(path)
        if any(is_or_is_in(name, package) for package in forbidden)
    ]
    assert backwards == []


@pytest.mark.parametrize("forbidden", ["slicer", "qt", "ctk", "vtk"])
def test_the_backend_knows_nothing_of_slicer(forbidden):
    assert [
        str(path.relative_to(ROOT))
        for path in python_files(BACKEND)
        if any(is_or_is_in(name, forbidden) for name in imports(path))
    ] == []


@pytest.mark.parametrize("module", SLICER_MODULES)
def test_a_slicer_module_imports_torch_only_inside_functions(module):
    sources = python_files(ROOT / module)
    assert sources
    assert [
        str(path.relative_to(ROOT))
        for path in sources
        if any(is_or_is_in(name, "torch") for name in imports(path, only_at_top=True))
    ] == []


def test_the_service_and_its_client_import_without_torch():
    modules = ["needle_backend.service.client", "needle_backend.service.server"]
    check = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0


def test_the_command_line_explains_itself_without_torch():
    check = "import sys, needle_backend.cli.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0
