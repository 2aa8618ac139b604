import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.core.markups import (
    needle_colour,
    read_markups,
    read_reviewed_markups,
    write_markups,
)
from needle_backend.core.needles import Needle, number_needles
from needle_backend.core.review_log import ReviewedNeedle, ReviewLog, ReviewState

millimetres = st.floats(-500, 500, allow_nan=False)
points = st.tuples(millimetres, millimetres, millimetres)
needles = st.lists(
    st.builds(
        Needle,
        tip_lps=points,
        handle_lps=points,
        score=millimetres,
        confidence=st.none() | st.floats(0, 1),
        doubts=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    ),
    max_size=5,
).map(number_needles)

NEEDLE = Needle((1.0, 2.0, 3.0), (4.0, 5.0, 203.0), 41.2, 0.93, ("a neighbour is near",), "N01")


@given(needles=needles)
def test_what_was_written_is_read_back(tmp_path_factory, needles):
    path = tmp_path_factory.mktemp("markups") / "needles.mrk.json"
    write_markups(path, needles)
    assert read_markups(path) == needles


def test_who_reviewed_a_needle_is_kept_with_it(tmp_path):
    log = ReviewLog().with_entry(ReviewState.edited, "müller", "tip moved by 2.1 mm")
    write_markups(tmp_path / "needles.mrk.json", [NEEDLE, NEEDLE], [log, ReviewLog()])
    assert read_reviewed_markups(tmp_path / "needles.mrk.json") == (
        ReviewedNeedle(NEEDLE, log),
        ReviewedNeedle(NEEDLE),
    )


def test_a_damaged_history_is_told(tmp_path):
    path = slicer_line(tmp_path)
    file = json.loads(path.read_text())
    file["markups"][0]["controlPoints"][0]["description"] = '{"review": [{"state": "lost"}]}'
    path.write_text(json.dumps(file))
    with pytest.raises(InputError, match="review history is damaged"):
        read_reviewed_markups(path)


def test_every_needle_is_a_line_from_tip_to_handle_in_lps(tmp_path):
    write_markups(tmp_path / "needles.mrk.json", [NEEDLE, NEEDLE])
    file = json.loads((tmp_path / "needles.mrk.json").read_text())
    assert len(file["markups"]) == 2
    line = file["markups"][0]
    assert (line["type"], line["name"], line["coordinateSystem"]) == ("Line", "N01", "LPS")
    tip, handle = line["controlPoints"]
    assert (tip["label"], tip["position"]) == ("T", [1.0, 2.0, 3.0])
    assert (handle["label"], handle["position"]) == ("H", [4.0, 5.0, 203.0])
    assert json.loads(tip["description"]) == {
        "score": 41.2,
        "confidence": 0.93,
        "doubts": ["a neighbour is near"],
    }
    length = line["measurements"][0]
    assert (length["name"], length["enabled"]) == ("length", False)
    assert length["value"] == pytest.approx(NEEDLE.length_mm)


def test_no_needles_are_a_file_too(tmp_path):
    write_markups(tmp_path / "needles.mrk.json", [])
    assert read_markups(tmp_path / "needles.mrk.json") == ()


def test_forty_three_needles_have_forty_three_colours():
    colours = np.array([needle_colour(i) for i in range(43)])
    apart = np.abs(colours[:, None] - colours[None]).max(axis=2)
    assert apart[~np.eye(43, dtype=bool)].min() > 0.03
    neighbours_apart = np.abs(np.diff(colours, axis=0)).max(axis=1)
    assert neighbours_apart.min() > 0.3
    assert colours.max(axis=1).min() > 0.9


def slicer_line(tmp_path, name="P7.mrk.json", **changes):
    """A line as Slicer's storage node saves it: without name, in a file of its own."""
    line = {
        "type": "Line",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": [
            {"id": "1", "label": "T", "position": [1, 2, 3], "positionStatus": "defined"},
            {"id": "2", "label": "H", "position": [4, 5, 203], "positionStatus": "defined"},
        ],
        **changes,
    }
    path = tmp_path / name
    path.write_text(json.dumps({"@schema": "markups-schema-v1.0.3.json#", "markups": [line]}))
    return path


def test_a_line_saved_by_slicer_is_named_after_its_file(tmp_path):
    assert read_markups(slicer_line(tmp_path)) == (
        Needle((1.0, 2.0, 3.0), (4.0, 5.0, 203.0), id="P7"),
    )


def test_ras_becomes_lps(tmp_path):
    needle = read_markups(slicer_line(tmp_path, coordinateSystem="RAS"))[0]
    assert needle.tip_lps == (-1.0, -2.0, 3.0)
    assert needle.handle_lps == (-4.0, -5.0, 203.0)


def test_a_description_typed_by_hand_is_no_obstacle(tmp_path):
    path = slicer_line(tmp_path)
    file = json.loads(path.read_text())
    file["markups"][0]["controlPoints"][0]["description"] = "moved by me"
    path.write_text(json.dumps(file))
    assert read_markups(path)[0].doubts == ()


def test_other_markups_are_passed_over(tmp_path):
    path = slicer_line(tmp_path)
    file = json.loads(path.read_text())
    file["markups"].append({"type": "Fiducial", "controlPoints": []})
    path.write_text(json.dumps(file))
    assert len(read_markups(path)) == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"controlPoints": [{"position": [1, 2, 3]}]}, "1 placed points"),
        (
            {
                "controlPoints": [
                    {"position": [1, 2, 3]},
                    {"position": [0, 0, 0], "positionStatus": "undefined"},
                ]
            },
            "P7 of 1 placed points",
        ),
        ({"coordinateUnits": "in"}, "positions in in"),
        ({"coordinateSystem": "RSA"}, "positions in RSA"),
        ({"controlPoints": [{"position": [1, 2]}, {"position": [1, 2, 3]}]}, "not a markups file"),
    ],
)
def test_a_line_that_is_no_needle_is_refused(tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem):
        read_markups(slicer_line(tmp_path, **changes))


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"markups": 5}', '{"markups": ["x"]}'])
def test_what_is_no_markups_file_is_refused(tmp_path, content):
    (tmp_path / "x.mrk.json").write_text(content)
    with pytest.raises(InputError, match="is not a markups file"):
        read_markups(tmp_path / "x.mrk.json")


def test_a_markups_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_markups(tmp_path / "none.mrk.json")
