import csv

from needle_backend.core.comparison import Others, hold_against
from needle_backend.core.needles import LocateResult, Needle, NeedleCount
from needle_backend.core.review_log import SOFTWARE, ReviewedNeedle, ReviewLog, ReviewState
from needle_backend.core.tables import (
    CHANGE_COLUMNS,
    COLUMNS,
    PLAN_COLUMNS,
    REVIEW_COLUMNS,
    write_csv,
    write_review_csv,
)

NEEDLES = (
    Needle((1.0, 2.0, 3.0), (4.0, 6.0, 203.0), 41.2, 0.93, ("bent, perhaps", "near"), "N01"),
    Needle((1.5, 2.5, 3.5), (1.5, 2.5, 153.5), 12.0, id="N02"),
)


def test_a_table_has_a_row_a_needle_in_lps_millimetres(tmp_path):
    write_csv(tmp_path / "needles.csv", LocateResult(NEEDLES, NeedleCount(2, estimated=False)))
    with (tmp_path / "needles.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["N01", "N02"]
    assert rows[0]["handle_z_lps_mm"] == "203.000"
    assert rows[0]["length_mm"] == f"{NEEDLES[0].length_mm:.3f}"
    assert rows[0]["doubts"] == "bent, perhaps; near"
    assert (rows[0]["confidence"], rows[1]["confidence"]) == ("0.930", "")


def test_no_needles_are_a_table_with_its_header(tmp_path):
    write_csv(tmp_path / "needles.csv", LocateResult((), NeedleCount(0, estimated=True)))
    assert (tmp_path / "needles.csv").read_text().splitlines() == [",".join(COLUMNS)]


def test_a_review_table_adds_ras_the_state_and_who_did_what_when(tmp_path):
    log = ReviewLog().with_entry(ReviewState.found, SOFTWARE)
    log = log.with_entry(ReviewState.rejected, "mueller", "artefact, no needle")
    write_review_csv(
        tmp_path / "needles.csv", [ReviewedNeedle(NEEDLES[0], log), ReviewedNeedle(NEEDLES[1])]
    )
    with (tmp_path / "needles.csv").open(newline="") as file:
        rejected, untouched = csv.DictReader(file)
    assert set(rejected) == set(REVIEW_COLUMNS)
    assert (rejected["tip_x_lps_mm"], rejected["tip_x_ras_mm"]) == ("1.000", "-1.000")
    assert (rejected["handle_z_lps_mm"], rejected["handle_z_ras_mm"]) == ("203.000", "203.000")
    assert (rejected["state"], untouched["state"]) == ("rejected", "found")
    assert rejected["history"] == log.in_words()
    assert "rejected by mueller" in rejected["history"]


def test_a_review_table_tells_what_the_needles_were_held_against(tmp_path):
    reviewed = [ReviewedNeedle(needle) for needle in NEEDLES]
    planned = Needle((1.0, 2.0, 3.0), (4.0, 6.0, 203.0), id="P1")
    earlier = Needle((1.5, 2.5, 7.5), (1.5, 2.5, 157.5), id="N02")
    comparison = hold_against(reviewed, Others(plan=(planned,), before=(earlier,)))
    write_review_csv(tmp_path / "needles.csv", reviewed, comparison)
    with (tmp_path / "needles.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert set(first) == {*REVIEW_COLUMNS, *PLAN_COLUMNS, *CHANGE_COLUMNS}
    assert (first["planned_id"], first["plan_tip_mm"], first["change"]) == ("P1", "0.000", "new")
    assert (second["planned_id"], second["plan_tip_mm"]) == ("", "")
    assert (second["change"], second["tip_moved_mm"]) == ("moved", "4.000")
    assert second["moved_deeper_mm"] == "4.000"
