import pytest

from needle_backend import __version__


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ["locate", "evaluate", "simulate", "train", "info"]),
        (
            ("locate",),
            ["INPUT", "--count", "--length-tolerance", "--series", "--picture", "--json"],
        ),
        (("evaluate", "ct"), ["--truth", "--predicted", "--gate"]),
        (("simulate", "ct"), ["--cases", "--seed", "--output"]),
        (("train", "ct"), []),
        (("info",), []),
    ],
)
def test_every_command_explains_itself(needles, command, words):
    code, out, err = needles(*command, "--help")
    assert code == 0
    assert err == ""
    for word in words:
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("find",), "No such command 'find'"),
        (("locate",), "Missing argument 'INPUT'"),
        (("locate", "x.nii", "--colour"), "No such option"),
        (("evaluate", "ct", "--truth", "t.json"), "--predicted"),
    ],
)
def test_wrong_usage_ends_with_two_and_a_sentence(needles, arguments, told):
    code, out, err = needles(*arguments)
    assert code == 2
    assert out == ""
    assert told in err
    assert err.endswith("see needles --help.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("group", [(), ("evaluate",), ("simulate",), ("train",)])
def test_a_bare_group_shows_its_commands_as_wrong_usage(needles, group):
    code, out, err = needles(*group)
    assert code == 2
    assert "Commands" in out
    assert err == ""


def test_the_version_is_told(needles):
    assert needles("--version") == (0, f"needles {__version__}\n", "")
