"""What is drawn shows the tip without covering it, and a video holds every frame."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.frames import open_frames
from needle_backend.us.overlay import COLOURS, REGION_COLOUR, draw_answer, overlay_video
from needle_backend.us.tips import FrameAnswer, Tip

GREY = np.full((300, 400), 90, np.uint8)
FOUND = FrameAnswer(0, 0.0, "detected", Tip(200.0, 150.0, 40.0, 24.0, 0.8))
LOST = FrameAnswer(1, 0.1, "lost", None)


def has(picture, colour):
    return (picture == colour).all(axis=2)


def test_a_box_lies_around_the_tip_and_the_tip_itself_stays_as_it_was():
    picture = draw_answer(GREY, FOUND)
    drawn = has(picture, COLOURS["detected"])
    assert drawn[150 - 12, 200] and drawn[150, 200 + 20]
    assert (picture[140:160, 185:215] == 90).all()


def test_a_predicted_tip_has_another_colour():
    picture = draw_answer(GREY, FrameAnswer(0, 0.0, "predicted", FOUND.tip))
    assert has(picture, COLOURS["predicted"])[150 - 12, 200]
    assert not has(picture, COLOURS["detected"]).any()


def test_a_lost_tip_is_said_and_nothing_is_drawn_into_the_image():
    picture = draw_answer(GREY, LOST)
    written = picture[:40].reshape(-1, 3)
    assert (written[:, 2] > written[:, 0].astype(int) + 60).any(), "the colour of what is lost"
    assert (picture[40:] == 90).all()


def test_the_region_is_outlined_where_it_is_not_the_whole_frame():
    assert has(draw_answer(GREY, LOST, (50, 60, 350, 280)), REGION_COLOUR)[279, 200]
    assert not has(draw_answer(GREY, LOST, (0, 0, 400, 300)), REGION_COLOUR).any()


def test_a_tip_at_the_very_edge_can_be_drawn():
    draw_answer(GREY, FrameAnswer(0, 0.0, "detected", Tip(399.6, -0.4, 60.0, 60.0, 1.0)))


@pytest.mark.parametrize("size", [(64, 48), (65, 49)], ids=["even", "odd"])
def test_a_video_holds_every_frame_at_its_rate(tmp_path, size):
    with overlay_video(tmp_path / "new" / "a.mp4", size, 12.0) as write:
        for level in (50, 120, 200):
            write(np.full((size[1], size[0], 3), level, np.uint8))
    source = open_frames(tmp_path / "new" / "a.mp4")
    assert source.fps == pytest.approx(12.0)
    means = [frame.image.mean() for frame in source]
    np.testing.assert_allclose(means, [50, 120, 200], atol=6)


def test_an_interrupted_video_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        overlay_video(tmp_path / "a.mp4", (64, 48), 12.0) as write,
    ):
        write(np.zeros((48, 64, 3), np.uint8))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with (
        pytest.raises(InputError, match="is a folder"),
        overlay_video(tmp_path / "a.mp4", (64, 48), 12.0),
    ):
        pass
