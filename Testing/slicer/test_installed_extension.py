"""The extension works from the files it installs, in the one folder where Slicer puts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from slicer_harness.cmake_lists import MODULES, install

TESTING = Path(__file__).parents[1]
OPEN_THE_MODULES = """
import sys
from pathlib import Path
testing, installed, *names = sys.argv[1:]
sys.path[:0] = [testing, installed]
from slicer_harness.boot import boot
boot()
from slicer_harness.modules import load_module
for name in names:
    module = load_module(Path(installed, name + ".py"))
    module.close(module.open())
import needle_backend
print(needle_backend.__file__)
"""


def test_installed_modules_open_and_find_the_installed_backend(tmp_path):
    installed = tmp_path / "qt-scripted-modules"
    install(installed)
    command = [sys.executable, "-c", OPEN_THE_MODULES, str(TESTING), str(installed), *MODULES]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(installed / "needle_backend" / "__init__.py")


def test_resources_lie_where_the_backend_looks_for_them(tmp_path):
    install(tmp_path)
    (sample,) = (tmp_path / "needle_backend").parent.glob("Resources/Sample/*.nii.gz")
    assert sample.is_file()
