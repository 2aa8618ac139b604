"""NeedleTipUS loads, opens, and says that it does nothing yet."""

from __future__ import annotations


def test_the_panel_says_what_the_module_will_do(needle_tip_us, scene):
    widget = needle_tip_us.open()
    text = widget.purpose_label.text
    assert "mark the needle's tip on a live ultrasound image" in text
    assert "It does nothing yet." in text
    needle_tip_us.close(widget)


def test_it_is_found_where_the_other_module_is(needle_tip_us, needle_localization):
    assert needle_tip_us.parent.categories == needle_localization.parent.categories == ["IGT"]
    assert needle_tip_us.parent.icon.availableSizes()
