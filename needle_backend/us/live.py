"""Find tips in frame after frame: the detector stays warm, and survives a GPU that fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.us.detect import TipDetector
from needle_backend.us.tipdet import VideoTipDetector
from needle_backend.us.tips import TIPDET, YOLOT, Tip, TrackOptions

LONGEST_GAP_S = 1.0
"""After so long without a frame a stream begins anew."""


class LiveDetector:
    """Keeps a detector for the options asked for last.

    Attributes
    ----------
    warnings
        Sentences about what could not be had, of the detector in use.
    """

    def __init__(self) -> None:
        self.warnings: tuple[str, ...] = ()
        self._options: TrackOptions | None = None
        self._detector: TipDetector | VideoTipDetector | None = None
        self._time_s = 0.0

    def load(self, options: TrackOptions) -> TipDetector | VideoTipDetector:
        """Return the detector for some options; it is made anew when they have changed.

        Raises
        ------
        InputError
            When weights or device cannot be used.
        """
        if self._detector is None or options != self._options:
            self._options, self._detector = None, None
            self._use(options, ())
            self._options = options
        return self._detector

    def detect(self, frame: np.ndarray, time_s: float, options: TrackOptions) -> Tip | None:
        """Return the tip in a stream's next frame, grey uint8, or None.

        A stream begins anew where the time goes back, and after a gap.
        A GPU that fails, or whose memory is full, is given up for the CPU; a warning says why.

        Raises
        ------
        InputError
            When the frame, the weights or the device cannot be used.
        """
        try:
            detector = self.load(options)
            if not self._time_s <= time_s <= self._time_s + LONGEST_GAP_S:
                detector.reset()
            self._time_s = time_s
            return detector.detect(frame, time_s)
        except RuntimeError as error:  # as all of torch's and CUDA's errors are
            given_up = None if self._detector is None else self._detector.device
            if given_up in (None, "cpu"):
                raise
            reason = " ".join(str(error).splitlines()[:1])[:120] or type(error).__name__
            sentence = f"{given_up} cannot be used ({reason}), so the CPU computes instead."
            self._use(replace(options, device="cpu"), (sentence,))
            return self._detector.detect(frame, time_s)

    def _use(self, options: TrackOptions, warnings: tuple[str, ...]) -> None:
        self._detector = make_detector(options)
        self.warnings = (*warnings, *self._detector.warnings)


def make_detector(options: TrackOptions) -> TipDetector | VideoTipDetector:
    """Return the model that is asked for, warm.

    Raises
    ------
    InputError
        When there is no such model, or weights or device cannot be used.
    """
    models = {YOLOT: TipDetector, TIPDET: VideoTipDetector}
    if options.model not in models:
        raise InputError(f"There is no model {options.model!r}; use {' or '.join(models)}.")
    detector = models[options.model](options.weights, options.device, options.threshold)
    detector.faint_share = options.faint_share
    return detector
