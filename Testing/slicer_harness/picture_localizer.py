"""A localizer for tests that finds the truth, and looks at the picture as the backend does."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.handle_search import find_handle
from needle_backend.ct.preprocess import white_top_hat
from needle_backend.ct.rescore import score_lines
from needle_backend.ct.ridge import fit_to_ridge
from slicer_harness.needle_localization import QuickLocalizer


@functools.lru_cache(maxsize=1)
def _tophat_of(voxels: bytes, shape: tuple[int, ...], kind: str) -> np.ndarray:
    return white_top_hat(np.frombuffer(voxels, kind).reshape(shape))


@dataclass
class PictureLocalizer(QuickLocalizer):
    """Returns what it was given, at once; lines are held against the volume itself."""

    def score(self, volume: Volume, lines_lps: np.ndarray) -> np.ndarray:
        return score_lines(lines_lps, self._tophat(volume), volume)

    def fit(
        self,
        volume: Volume,
        line_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        return fit_to_ridge(line_lps, others_lps, options, self._tophat(volume), volume)

    def find_handle(
        self,
        volume: Volume,
        tip_lps: np.ndarray,
        handles_lps: np.ndarray,
        others_lps: np.ndarray,
        options: LocateOptions,
    ) -> np.ndarray:
        tophat = self._tophat(volume)
        return find_handle(tip_lps, handles_lps, others_lps, options, tophat, volume)

    def _tophat(self, volume: Volume) -> np.ndarray:
        array = volume.array
        return _tophat_of(array.tobytes(), array.shape, array.dtype.str)
