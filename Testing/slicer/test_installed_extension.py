"""The extension works from the files it installs, in the one folder where Slicer puts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slicer_harness.cmake_lists import MODULES, install

TESTING = Path(__file__).parents[1]
OPEN_THE_MODULE = """
import sys
from pathlib import Path
sys.path[:0] = [{testing!r}, {installed!r}]
from slicer_harness.boot import boot
boot()
from slicer_harness.modules import load_module
module = load_module(Path({installed!r}, "{name}.py"))
module.close(module.open())
import needle_backend
print(needle_backend.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qt-scripted-modules")
    install(folder)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_an_installed_module_opens_and_finds_the_installed_backend(name, installed, tmp_path):
    code = OPEN_THE_MODULE.format(testing=str(TESTING), installed=str(installed), name=name)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(installed / "needle_backend" / "__init__.py")


def test_the_backends_resources_lie_where_it_looks(installed):
    assert (installed / "needle_backend" / "core").is_dir()
    assert (installed / "needle_backend").parent == (installed / "Resources").parent
    assert (installed / "Resources").is_dir()
