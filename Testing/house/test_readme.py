"""What the README and the documents tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

MAKE_TARGETS = sorted(set(re.findall(r"\bmake (\w+)(?=[ `\n]*(?:\n|#|`))", README)))
DOCUMENTS = README + "".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))
)
NEEDLES_LINES = sorted(set(re.findall(r"(?:^    |`)needles ([^`\n]+)", DOCUMENTS, re.MULTILINE)))
"""What stands behind `needles`, in a line of its own or between backticks."""


def test_the_readme_gives_one_command_for_the_demo_and_one_for_the_tests():
    assert {"demo", "test"} <= set(MAKE_TARGETS)


@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_every_make_target_named_in_the_readme_is_in_the_makefile(target):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("line", NEEDLES_LINES)
def test_every_needles_command_named_in_a_document_exists_with_its_options(line):
    import typer

    from needle_backend.cli.app import app

    command = typer.main.get_command(app)
    words = line.split()
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"there is no needles {line}"
        command = command.commands[words.pop(0)]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options | {"--help"}


def test_the_readme_names_the_commands_people_start_with():
    started_with = {line.split()[0] for line in NEEDLES_LINES}
    assert {"locate", "track", "simulate", "train", "evaluate", "dataset", "info"} <= started_with


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
