"""What the backend process can be asked to do; the server knows how to talk, this knows needles."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from needle_backend import __version__
from needle_backend.core.needles import LocateOptions, LocateResult
from needle_backend.core.progress import CancelToken, Progress
from needle_backend.core.volume import Volume
from needle_backend.us.tips import DETECTED, LOST, TrackOptions

if TYPE_CHECKING:
    from needle_backend.us.live import LiveDetector


class NeedleFinder(Protocol):
    """Finds needles in a CT, and says how well the picture fits lines that a person drew."""

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Find the needles of a CT."""

    def score(self, volume: Volume, lines_lps: np.ndarray) -> np.ndarray:
        """Score lines (n, 2, 3), tip and handle in LPS mm, on a CT; (n,)."""

    def fit(
        self,
        volume: Volume,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        """Lay a line (2, 3) onto the shaft beside it, the other needles (n, 2, 3) being known."""

    def find_handle(
        self,
        volume: Volume,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        """Find the line (2, 3) from a tip (3,) to its handle, one of those (n, 3) or another."""


class Work(NeedleFinder, Protocol):
    """What a server needs; made once, when the process starts, and used by one thread only."""

    def info(self) -> dict[str, Any]:
        """Return versions, device and weights."""

    def load(self, weights: str | None, device: str) -> dict[str, Any]:
        """Read weights before they are needed, and return :meth:`info`."""

    def track(self, frame: np.ndarray, time_s: float, options: TrackOptions) -> dict[str, Any]:
        """Find the needle's tip in an ultrasound frame: ``state``, ``tip`` and how it was found."""


class NeedleWork:
    """The real work: needles in CT, and the needle's tip in ultrasound."""

    def __init__(self) -> None:
        import torch

        import needle_backend.ct.detect  # noqa: F401  # slow to import: now, rather than in a job
        from needle_backend.ct.localize import InProcessLocalizer

        self._torch_version = torch.__version__
        self._localizer = InProcessLocalizer()
        self._tophat: tuple[Volume, np.ndarray] | None = None
        self._live: LiveDetector | None = None

    def info(self) -> dict[str, Any]:
        """Return versions, device and weights."""
        from needle_backend.core.device import choose_device
        from needle_backend.core.weights import list_weights

        choice = choose_device("auto")
        return {
            "version": __version__,
            "python": platform.python_version(),
            "torch": self._torch_version,
            "device": choice.device,
            "warnings": list(choice.warnings),
            "weights": [weights.name for weights in list_weights()],
        }

    def load(self, weights: str | None, device: str) -> dict[str, Any]:
        """Read weights onto a device before they are needed."""
        from needle_backend.core.device import choose_device

        self._localizer.load(weights, choose_device(device).device)
        return self.info()

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Find the needles of a CT; the network stays loaded from one CT to the next."""
        from needle_backend.ct.methods import localizer_of

        by_network = options.method == LocateOptions.method
        localizer = self._localizer if by_network else localizer_of(options.method)
        return localizer.locate(volume, options, progress, cancel)

    def score(self, volume: Volume, lines_lps: np.ndarray) -> np.ndarray:
        """Score lines on a CT."""
        from needle_backend.ct.rescore import score_lines

        return score_lines(lines_lps, self._tophat_of(volume), volume)

    def fit(
        self,
        volume: Volume,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        """Lay a line onto the shaft beside it."""
        from needle_backend.ct.ridge import fit_to_ridge

        tophat = self._tophat_of(volume)
        return fit_to_ridge(line_lps, others_lps, options, tophat, volume)

    def find_handle(
        self,
        volume: Volume,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        """Find the line from a tip to its handle."""
        from needle_backend.ct.handle_search import find_handle

        tophat = self._tophat_of(volume)
        return find_handle(tip_lps, handles_lps, others_lps, options, tophat, volume)

    def _tophat_of(self, volume: Volume) -> np.ndarray:
        """Return a CT's top-hat, kept while lines of the same CT are asked about."""
        from needle_backend.ct.preprocess import white_top_hat

        if self._tophat is None or self._tophat[0] is not volume:
            self._tophat = volume, white_top_hat(volume.array)
        return self._tophat[1]

    def track(self, frame: np.ndarray, time_s: float, options: TrackOptions) -> dict[str, Any]:
        """Find the needle's tip in an ultrasound frame."""
        if self._live is None:
            from needle_backend.us.live import LiveDetector  # OpenCV and torch: when first needed

            self._live = LiveDetector()
        started = time.perf_counter()
        tip = self._live.detect(frame, time_s, options)
        detector = self._live.load(options)
        return {
            "state": LOST if tip is None else DETECTED,
            "tip": None if tip is None else asdict(tip),
            "seconds": round(time.perf_counter() - started, 5),
            "device": detector.device,
            "weights": detector.weights_name,
            "answered_as": detector.answers_as,
            "threshold": detector.threshold,
            "warnings": list(self._live.warnings),
        }
