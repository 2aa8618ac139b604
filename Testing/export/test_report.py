import re
from dataclasses import replace
from datetime import datetime

import cv2
import numpy as np
import pytest
from export.browser import printed_pages, rendered_html, screenshot

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle
from needle_backend.core.quality import QualityLimits, check_quality
from needle_backend.core.review_log import SOFTWARE, ReviewedNeedle, ReviewLog, ReviewState
from needle_backend.export.report import STATEMENT, Picture, Report, report_html, write_report

MAGENTA = (255, 0, 255)
NOW = datetime(2026, 3, 1, 14, 5)


def picture(width=600, height=500):
    _, png = cv2.imencode(".png", np.full((height, width, 3), MAGENTA, np.uint8))
    return Picture(png.tobytes(), "everything is magenta")


def report_of(needles, **more):
    return Report(
        "ct.nii.gz",
        tuple(needles),
        check_quality(needles, QualityLimits(count=18)),
        pictures=(picture(),),
        **more,
    )


def rows(html):
    return re.findall(r'<tr class="(\w+)">(.*?)</tr>', html, re.S)


def test_there_is_a_row_a_needle_that_shows_doubt_and_decision_at_a_glance(reviewed):
    html = report_html(report_of(reviewed), NOW)
    assert [kind for kind, _ in rows(html)] == ["sure", "doubtful", "rejected", "sure"]
    doubtful = rows(html)[1][1]
    for shown in ("N02", "11.1, 6.0, 13.0", "184.2", "41 %", "its shaft fades", "edited by müller"):
        assert shown in doubtful


def test_a_doubt_that_somebody_settled_does_not_stand_out(reviewed):
    settled = replace(reviewed[1], log=reviewed[1].log.with_entry(ReviewState.accepted, "müller"))
    ((kind, row),) = rows(report_html(report_of([settled]), NOW))
    assert kind == "sure"
    assert "its shaft fades" in row


def test_it_says_what_it_is_not_and_what_is_amiss(reviewed):
    html = report_html(report_of(reviewed, changes=("N07 is gone",)), NOW)
    for said in (STATEMENT, "3 needles, 15 fewer than the 18 expected.", "N07 is gone"):
        assert said in html
    assert "no clinical case" in STATEMENT
    assert "trained on simulated CT" in STATEMENT
    assert "Not a medical device" in STATEMENT


def test_deviations_from_a_plan_have_their_own_column(reviewed):
    plan = [replace(item.needle, id="P1") for item in reviewed[:1]]
    quality = check_quality(reviewed, plan=plan)
    planned = replace(report_of(reviewed), quality=quality)
    assert "<th>Off plan</th>" in report_html(planned, NOW)
    assert "<th>Off plan</th>" not in report_html(report_of(reviewed), NOW)


def test_a_needle_may_have_the_colour_it_has_in_the_scene(reviewed):
    html = report_html(report_of(reviewed, colours={"N01": (0.0, 0.2, 1.0)}), NOW)
    assert "background: rgb(0, 51, 255)" in rows(html)[0][1]


def test_what_people_typed_is_shown_as_typed(reviewed):
    html = report_html(report_of(reviewed, facts=(("Patient", "<script>x</script> & Söhne"),)), NOW)
    assert "&lt;script&gt;x&lt;/script&gt; &amp; Söhne" in html
    assert "<script" not in html


def test_the_page_needs_nothing_from_elsewhere(reviewed):
    html = report_html(report_of(reviewed), NOW)
    assert [source[:10] for source in re.findall(r'src="([^"]*)"', html)] == ["data:image"]
    assert "http" not in html
    assert "url(" not in html


def test_it_is_not_written_where_nothing_can_be_written(tmp_path, reviewed):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_report(tmp_path / "folder", report_of(reviewed))


def many(count):
    """Needles side by side, a fourth of them doubtful for two reasons, all in every state."""
    doubts = ("faint shaft: 43% of it can be seen", "length off by 5 mm from the others")
    for i in range(count):
        x = 8.0 * i - 170.0
        needle = Needle(
            (x, -30.0, 12.0), (x - 30.0, 160.0, 20.0), 1.0, 0.9, doubts[: i % 4 // 2 * 2]
        )
        log = ReviewLog().with_entry(ReviewState.found, SOFTWARE)
        if i % 3:
            state = list(ReviewState)[i % len(ReviewState)]
            log = log.with_entry(state, "mueller", "tip moved by 2.1 mm")
        yield ReviewedNeedle(replace(needle, id=f"N{i + 1:02d}"), log)


@pytest.mark.parametrize("count", [0, 4, 18, 43])
def test_it_prints_to_one_sheet(tmp_path, count):
    needles = list(many(count))
    facts = tuple((name, "12345") for name in ("Patient", "Study", "CT", "Weights"))
    write_report(tmp_path / "report.html", report_of(needles, facts=facts))
    assert printed_pages(tmp_path / "report.html") == 1


def test_a_browser_shows_the_picture_and_every_row(tmp_path):
    write_report(tmp_path / "report.html", report_of(list(many(18))))
    shown = screenshot(tmp_path / "report.html")
    assert (shown == MAGENTA).all(axis=2).mean() > 0.2
    assert len(rows(rendered_html(tmp_path / "report.html"))) == 18
