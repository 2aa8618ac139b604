"""What CMake installs is what the tree holds: a file that is not listed does not ship."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from slicer_harness.cmake_lists import LIBRARY, MODULES, RESOURCES, ROOT, SCRIPTS, listed


def scripts_in_tree(folder: str) -> list[str]:
    return relative_files(ROOT / folder, (ROOT / folder).rglob("*.py"))


def resources_in_tree(folder: str) -> list[str]:
    if folder in MODULES:
        return relative_files(ROOT / folder, (ROOT / folder / "Resources").rglob("*"))
    shipped = [
        path for name in ("Weights", "Sample") for path in (ROOT / "Resources" / name).glob("*")
    ]
    recipes = relative_files(ROOT / folder, (ROOT / folder).rglob("*.toml"))
    return ["../" + name for name in relative_files(ROOT, shipped)] + recipes


def relative_files(start: Path, paths: Iterable[Path]) -> list[str]:
    return sorted(path.relative_to(start).as_posix() for path in paths if path.is_file())


def difference(folder: str, variable: str, expected: list[str]) -> str:
    """Say which lines of which list to add and to remove; empty where list and tree agree."""
    present = listed(folder, variable)
    steps = [f"  add the line    {name}" for name in expected if name not in present]
    steps += [f"  remove the line {name}" for name in present if name not in expected]
    steps += [f"  list only once  {name}" for name, times in Counter(present).items() if times > 1]
    return "\n".join([f"{folder}/CMakeLists.txt, list {variable}:", *steps]) if steps else ""


@pytest.mark.parametrize("folder", [LIBRARY, *MODULES])
def test_every_script_is_listed_for_installation(folder):
    problem = difference(folder, SCRIPTS, scripts_in_tree(folder))
    assert not problem, problem


@pytest.mark.parametrize("folder", [LIBRARY, *MODULES])
def test_every_resource_is_listed_for_installation(folder):
    problem = difference(folder, RESOURCES, resources_in_tree(folder))
    assert not problem, problem


def test_no_two_modules_install_a_file_of_the_same_name():
    installed = Counter(
        name
        for folder in MODULES
        for list_ in (SCRIPTS, RESOURCES)
        for name in listed(folder, list_)
    )
    assert [name for name, times in installed.items() if times > 1] == []


def test_only_the_module_itself_lies_beside_its_script():
    # Slicer takes every script directly in a module's folder for a module of its own.
    for module in MODULES:
        assert [path.name for path in (ROOT / module).glob("*.py")] == [f"{module}.py"]


def test_every_folder_with_scripts_is_part_of_the_build():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"add_subdirectory\((\w+)\)", text)) == {LIBRARY, *MODULES, "Testing"}


def test_both_self_tests_are_registered():
    text = (ROOT / "Testing" / "CMakeLists.txt").read_text(encoding="utf-8")
    (registered,) = re.findall(r"foreach\(module ([^)]*)\)", text)
    assert tuple(registered.split()) == MODULES


def test_the_index_entry_and_the_extension_agree():
    extension = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    (index_file,) = ROOT.glob("*.json")
    entry = json.loads(index_file.read_text(encoding="utf-8"))
    (depends,) = re.findall(r"set\(EXTENSION_DEPENDS ([^)]*)\)", extension)
    (homepage,) = re.findall(r'set\(EXTENSION_HOMEPAGE "([^"#]*)', extension)
    assert f"project({index_file.stem})" in extension
    assert entry["build_dependencies"] == depends.split()
    assert entry["scm_url"] == f"{homepage}.git"
    assert set(entry) <= {
        "$schema", "category", "scm_url", "scm_type", "scm_revision", "build_dependencies",
        "build_subdirectory", "dicom_support_rule", "enabled", "tier",
    }  # fmt: skip


@pytest.mark.parametrize("variable", ["EXTENSION_LICENSE_FILE", "EXTENSION_README_FILE"])
def test_files_the_extension_names_exist(variable):
    extension = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    (name,) = re.findall(
        rf'set\({variable} "\$\{{CMAKE_CURRENT_SOURCE_DIR\}}/([^"]*)"\)', extension
    )
    assert (ROOT / name).is_file()
