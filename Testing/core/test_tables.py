import csv

from needle_backend.core.needles import LocateResult, Needle, NeedleCount
from needle_backend.core.tables import COLUMNS, write_csv

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
