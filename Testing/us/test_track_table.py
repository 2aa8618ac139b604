"""tips.csv says the same when it is read again, and a wrong row is named by its line."""

from __future__ import annotations

import csv

import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.tips import FrameAnswer, Tip
from needle_backend.us.track_table import COLUMNS, read_tips, write_tips

ANSWERS = (
    FrameAnswer(0, 0.0, "detected", Tip(100.5, 80.25, 36.0, 20.0, 0.875)),
    FrameAnswer(1, 0.04, "predicted", Tip(101.0, 80.0, 36.0, 20.0, 0.5)),
    FrameAnswer(2, 0.08, "lost", None),
)


@pytest.fixture
def table(tmp_path):
    write_tips(tmp_path / "tips.csv", ANSWERS)
    return tmp_path / "tips.csv"


def test_a_table_comes_back_as_it_was_written(table):
    assert read_tips(table) == ANSWERS


def test_a_lost_frame_has_no_place_and_no_confidence(table):
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    lost = rows[2]
    assert [lost[name] for name in ("x", "y", "width", "height")] == [""] * 4
    assert (float(lost["confidence"]), lost["state"]) == (0.0, "lost")
    assert (float(rows[0]["x"]), float(rows[0]["y"])) == (100.5, 80.25)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,0.04,100,80,36,20,0.5,found", "line 3 has the state 'found'"),
        ("1,0.04,100,here,36,20,0.5,detected", "line 3 has 'here' for y"),
        ("1,0.04,nan,80,36,20,0.5,detected", "line 3 has 'nan' for x"),
        ("1,0.04,100,80,36,20,,detected", "line 3 has '' for confidence"),
        ("1,0.04,100,80,-36,20,0.5,detected", "line 3 has a box of -36 x 20 pixels"),
        ("1,0.04,100,80,36,20,1.5,detected", "confidence 1.5"),
        ("0,0.04,100,80,36,20,0.5,detected", "line 3 is frame 0 after frame 0"),
        ("1.5,0.04,100,80,36,20,0.5,detected", "line 3 has the frame 1.5"),
        ("1,0.04,100", "line 3 has the state None"),
    ],
)
def test_a_row_that_makes_no_sense_is_named_by_its_line(tmp_path, line, words):
    table = tmp_path / "tips.csv"
    table.write_text(f"{','.join(COLUMNS)}\n0,0,,,,,0,lost\n{line}\n")
    with pytest.raises(InputError) as refused:
        read_tips(table)
    assert str(table) in str(refused.value)
    assert words in str(refused.value)


def test_a_table_without_a_column_is_refused(tmp_path):
    (tmp_path / "tips.csv").write_text("frame,x,y\n0,1,2\n")
    with pytest.raises(InputError, match="has no column time_s"):
        read_tips(tmp_path / "tips.csv")


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x81" * 30])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "tips.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"tips\.csv"):
        read_tips(tmp_path / "tips.csv")


def test_a_table_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_tips(tmp_path / "none.csv")
