"""A missing system library is named, with the Debian package that holds it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "check_system.py"


@pytest.fixture
def check_system():
    spec = importlib.util.spec_from_file_location("check_system", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_library_is_named_with_its_package(check_system, monkeypatch, capsys):
    monkeypatch.setitem(check_system.DEMO, "libnobodyhas.so.7", "libnobodyhas7")
    monkeypatch.setattr(sys, "argv", ["check_system.py", "demo"])
    assert check_system.main() == 1
    said = capsys.readouterr().err
    assert "libnobodyhas.so.7 (Debian package libnobodyhas7)" in said
    assert "apt-get install libnobodyhas7" in said


def test_the_demo_asks_for_nothing_that_only_tests_need(check_system):
    assert set(check_system.DEMO) < set(check_system.TEST)
    assert not any("GL" in library or "X11" in library for library in check_system.DEMO)


def test_it_is_silent_where_all_is_there():
    answer = subprocess.run([sys.executable, SCRIPT, "test"], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
