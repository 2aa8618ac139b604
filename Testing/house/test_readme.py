"""What the README tells people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

MAKE_TARGETS = sorted(set(re.findall(r"\bmake (\w+)(?=[ `\n]*(?:\n|#|`))", README)))
NEEDLES_COMMANDS = sorted(
    set(re.findall(r"\bneedles ((?:simulate|train|evaluate) ct|locate|info)", README))
)


def test_the_readme_gives_one_command_for_the_demo_and_one_for_the_tests():
    assert {"demo", "test"} <= set(MAKE_TARGETS)


@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_every_make_target_named_in_the_readme_is_in_the_makefile(target):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", NEEDLES_COMMANDS)
def test_every_needles_command_named_in_the_readme_explains_itself(command):
    from typer.testing import CliRunner

    from needle_backend.cli.app import app

    answer = CliRunner().invoke(app, [*command.split(), "--help"])
    assert answer.exit_code == 0, answer.output


def test_every_folder_named_in_the_readme_exists():
    table = README.split("## Where things are")[1].split("\n## ")[0]
    folders = re.findall(r"`([\w/]+/)`", table)
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_continuous_integration_runs_the_test_command_of_the_readme():
    command = re.search(r"^## Test\n.*?^    \$ (.+?)$", README, re.MULTILINE | re.DOTALL)
    assert command is not None
    assert command[1] == "make test"
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_readme_says_that_no_clinical_case_has_been_tested():
    assert "Not a medical device" in README
    assert "No clinical case has been tested" in README
