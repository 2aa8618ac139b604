"""Join the detections of single frames into one tip that moves as a needle does.

A Kalman filter with constant velocity (Bar-Shalom, Li and Kirubarajan 2001, chapter 6.2: white
noise as acceleration) predicts where the tip is; a detection counts where it lies near that. What
appears elsewhere must be seen again, and be likely, before it is believed: a tip that flashes up
for one frame is never shown, nor one that the detector doubts in every frame.

What moves is a needle, what stays where it first appeared may be anatomy: a bright line's end looks
like a tip in every frame. So a tip that has not moved yet must be surer, and is shown for a while
only. Once it has moved it is followed on through pauses and doubts, also when it is fainter than a
detection need be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from needle_backend.us.tips import (
    DETECTED,
    LOST,
    PREDICTED,
    TIPDET,
    YOLOT,
    FrameAnswer,
    Tip,
)

USUAL_PX = 640
"""The larger side of a frame that the settings in pixels are meant for."""

FAINT_SHARE = 0.5
"""Detections down to so much of the detector's threshold are worth giving to a tracker."""


@dataclass(frozen=True)
class Association:
    """When detections are one tip; pixels are those of a frame of 640.

    Attributes
    ----------
    seen_at_least
        So many detections that agree are needed before a tip is shown, or shown elsewhere.
    sure_at_least
        Their mean confidence by then, in thresholds of the detector; from the eighth on older ones
        fade. Counts for a tip that has moved.
    moved_px
        A tip has moved once it was so far from where it first appeared.
    still_sure_at_least, still_at_most_s
        The mean confidence of a tip that has not moved, and for how long it is shown.
    longest_prediction_s
        So long a tip is predicted after it was last detected.
    position_px
        Standard deviation of a detection.
    speed_px_s
        Standard deviation of the speed of a tip that was just seen for the first time.
    agility_px
        Square root of the spectral density of the acceleration (px s^-3/2): after one second the
        speed has changed by about so many px/s.
    gate
        A detection counts within so many standard deviations of where it was expected.
    """

    seen_at_least: int = 2
    sure_at_least: float = 0.9
    moved_px: float = 12.0
    still_sure_at_least: float = 1.25
    still_at_most_s: float = 1.5
    longest_prediction_s: float = 0.5
    position_px: float = 3.0
    speed_px_s: float = 100.0
    agility_px: float = 100.0
    gate: float = 3.5


ASSOCIATION_OF = {
    YOLOT: Association(sure_at_least=1.0, still_sure_at_least=1.57),
    TIPDET: Association(sure_at_least=1.1, longest_prediction_s=0.1),
}
"""Of each model. Tips must be surer for YOLOT, which has seen no motion, those that stay where they
are above all. TipDet finds what is visible in nearly every frame; what it misses is gone."""

REMEMBERED = 8
"""Detections over which a track's confidence is averaged."""


@dataclass(frozen=True)
class Motion:
    """Where a point is and how fast it moves.

    Attributes
    ----------
    time_s
        When.
    mean
        (2, 2): position and velocity, each x and y.
    covariance
        (2, 2): of position and velocity, the same for x and y.
    """

    time_s: float
    mean: np.ndarray
    covariance: np.ndarray

    def at(self, time_s: float, agility: float) -> Motion:
        """Return the motion at a later time."""
        step = time_s - self.time_s
        onwards = np.array([[1.0, step], [0.0, 1.0]])
        shaken = agility**2 * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        covariance = onwards @ self.covariance @ onwards.T + shaken
        return Motion(time_s, onwards @ self.mean, covariance)

    def deviations(self, xy: np.ndarray, position_sd: float) -> float:
        """Return by how many standard deviations a point seen is off."""
        variance = self.covariance[0, 0] + position_sd**2
        return float(np.hypot(*(xy - self.mean[0])) / np.sqrt(variance))

    def seen_at(self, xy: np.ndarray, position_sd: float) -> Motion:
        """Return the motion once the point was seen there."""
        gain = self.covariance[:, 0] / (self.covariance[0, 0] + position_sd**2)
        mean = self.mean + np.outer(gain, xy - self.mean[0])
        covariance = self.covariance - np.outer(gain, self.covariance[0])
        return Motion(self.time_s, mean, covariance)


@dataclass(frozen=True)
class Track:
    """A tip followed over frames.

    Attributes
    ----------
    motion
        Where it is now.
    first_xy, first_s
        Where and when it appeared.
    farthest
        How far from there it has been, in pixels.
    last, last_s
        Its last detection.
    seen, sureness
        How often it was detected, and its mean confidence.
    """

    motion: Motion
    first_xy: np.ndarray
    first_s: float
    farthest: float
    last: Tip
    last_s: float
    seen: int
    sureness: float


class Tracker:
    """Follows one tip from frame to frame.

    Parameters
    ----------
    size
        Columns and rows of the frames.
    threshold
        The least confidence that the detector takes for a tip.
    association
        When detections are one tip.
    """

    def __init__(
        self,
        size: tuple[int, int],
        threshold: float,
        association: Association = ASSOCIATION_OF[YOLOT],
    ) -> None:
        self._size = size
        self._threshold = threshold
        self._association = association
        scale = max(size) / USUAL_PX
        self._position_sd = association.position_px * scale
        self._speed_sd = association.speed_px_s * scale
        self._agility = association.agility_px * scale
        self._moved = association.moved_px * scale
        self._shown: Track | None = None
        self._doubted: Track | None = None
        self._time_s = -np.inf

    def follow(self, frame: int, time_s: float, tip: Tip | None) -> FrameAnswer:
        """Tell what is known of the tip in the next frame, given what was detected in it.

        A detection below the threshold may be given, too: it counts for a tip that is followed.
        Times that go back, as when a recording starts over, start over here, too.
        """
        if time_s <= self._time_s:
            self._shown = self._doubted = None
        self._time_s = time_s
        self._shown = self._carried_on(self._shown, time_s)
        self._doubted = self._carried_on(self._doubted, time_s)
        if self._shown is not None and self._is_too_still(self._shown, time_s):
            self._shown, self._doubted = None, self._doubted or self._shown
        if tip is not None:
            self._take(tip, time_s)
        return self._answer(frame, time_s)

    def _carried_on(self, track: Track | None, time_s: float) -> Track | None:
        if track is None or time_s - track.last_s > self._association.longest_prediction_s:
            return None
        return replace(track, motion=track.motion.at(time_s, self._agility))

    def _take(self, tip: Tip, time_s: float) -> None:
        """Give a detection to the tip that is shown, or to the one that may take its place."""
        if self._is_expected(tip, self._shown):
            self._shown, self._doubted = self._seen_again(self._shown, tip, time_s), None
            return
        if self._is_expected(tip, self._doubted):
            self._doubted = self._seen_again(self._doubted, tip, time_s)
        elif self._doubted is None or tip.confidence >= self._threshold:
            self._doubted = self._first_seen(tip, time_s)
        if self._is_believed(self._doubted, time_s):
            self._shown, self._doubted = self._doubted, None

    def _is_expected(self, tip: Tip, track: Track | None) -> bool:
        if track is None:
            return False
        off = track.motion.deviations(_xy(tip), self._position_sd)
        return off <= self._association.gate

    def _is_believed(self, track: Track, time_s: float) -> bool:
        needed = self._association
        return (
            track.seen >= needed.seen_at_least
            and track.sureness >= needed.sure_at_least * self._threshold
            and not self._is_too_still(track, time_s)
        )

    def _is_too_still(self, track: Track, time_s: float) -> bool:
        """Tell whether it may be anatomy: it has not moved, and is not sure, or for too long."""
        needed = self._association
        is_sure = track.sureness >= needed.still_sure_at_least * self._threshold
        is_new = time_s - track.first_s <= needed.still_at_most_s
        return track.farthest < self._moved and not (is_sure and is_new)

    def _first_seen(self, tip: Tip, time_s: float) -> Track:
        xy = _xy(tip)
        covariance = np.diag([self._position_sd**2, self._speed_sd**2])
        motion = Motion(time_s, np.stack([xy, np.zeros(2)]), covariance)
        return Track(motion, xy, time_s, 0.0, tip, time_s, 1, tip.confidence)

    def _seen_again(self, track: Track, tip: Tip, time_s: float) -> Track:
        motion = track.motion.seen_at(_xy(tip), self._position_sd)
        away = float(np.hypot(*(motion.mean[0] - track.first_xy)))
        seen = track.seen + 1
        surer = (tip.confidence - track.sureness) / min(seen, REMEMBERED)
        return replace(
            track,
            motion=motion,
            farthest=max(track.farthest, away),
            last=tip,
            last_s=time_s,
            seen=seen,
            sureness=track.sureness + surer,
        )

    def _answer(self, frame: int, time_s: float) -> FrameAnswer:
        track = self._shown
        if track is None:
            return FrameAnswer(frame, time_s, LOST, None)
        x, y = map(float, track.motion.mean[0])
        columns, rows = self._size
        if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
            return FrameAnswer(frame, time_s, LOST, None)
        age_s = time_s - track.last_s
        # What was not seen is surely less sure than what was; it fades to nothing.
        fading = 1.0 - age_s / self._association.longest_prediction_s if age_s > 0 else 1.0
        tip = replace(track.last, x=x, y=y, confidence=track.last.confidence * fading)
        return FrameAnswer(frame, time_s, PREDICTED if age_s > 0 else DETECTED, tip)


def _xy(tip: Tip) -> np.ndarray:
    return np.array([tip.x, tip.y])
