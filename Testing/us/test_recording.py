"""The tip is looked for in the imaging region of each frame, and told in pixels of the frame."""

from __future__ import annotations

import numpy as np
from us.recordings import grey_frames, write_images

from needle_backend.us.frames import open_frames
from needle_backend.us.recording import find_tips
from needle_backend.us.sector import sector_of
from needle_backend.us.tips import Tip
from needle_backend.us.track import Tracker


class Brightest:
    """Takes the brightest pixel for the tip, where it is bright."""

    def __init__(self):
        self.shapes = []

    def detect(self, image, time_s):
        self.shapes.append(image.shape)
        row, column = np.unravel_index(image.argmax(), image.shape)
        return Tip(float(column), float(row), 8.0, 6.0, 0.9) if image.max() == 255 else None


def test_tips_come_in_pixels_of_the_frame_and_frames_without_one_are_lost(tmp_path):
    frames = grey_frames(3) // 2
    frames[0, 30, 40], frames[2, 22, 18] = 255, 255
    frames[1, 1, 1] = 255  # outside the region
    source = open_frames(write_images(tmp_path / "some", frames), fps=10.0)
    detector = Brightest()
    answers = [
        answer for _, answer in find_tips(source, sector_of(source, (4, 6, 60, 46)), detector)
    ]
    assert detector.shapes == [(40, 56)] * 3
    assert [answer.state for answer in answers] == ["detected", "lost", "detected"]
    assert (answers[0].tip.x, answers[0].tip.y) == (40.0, 30.0)
    assert (answers[2].tip.x, answers[2].tip.y) == (18.0, 22.0)
    assert [(answer.frame, answer.time_s) for answer in answers] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert answers[1].tip is None


def test_with_a_tracker_a_tip_counts_once_it_is_seen_again_and_is_then_predicted(tmp_path):
    frames = grey_frames(4) // 2
    frames[0, 30, 40], frames[1, 30, 41] = 255, 255
    source = open_frames(write_images(tmp_path / "some", frames), fps=10.0)
    sector = sector_of(source, (4, 6, 60, 46))
    found = find_tips(source, sector, Brightest(), Tracker(source.size, 0.5))
    states = [answer.state for _, answer in found]
    assert states == ["lost", "detected", "predicted", "predicted"]
