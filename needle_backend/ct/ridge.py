"""Lay a line that a person drew roughly along a needle onto the shaft that the picture shows."""

from __future__ import annotations

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle, as_point
from needle_backend.core.volume import Volume
from needle_backend.ct.refine import refine_needles
from needle_backend.ct.rescore import require_needle_length
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.shaft import ridge_shifts, shaft_evidence

ROUNDS = 3
"""In the slices and through them in turn: each shows more of the shaft once the other fits."""
LEAST_SEEN = 0.25
"""Share of the fitted line that must show a shaft."""


def fit_to_ridge(
    line_lps: np.ndarray, others_lps: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """Return the line moved across its direction onto the nearest shaft, some 5 mm away at most.

    In the slices the ends follow the ridge beside the line (:mod:`.shaft`), through the slices the
    shaft's own way from slice to slice (:mod:`.refine`). Along the needle they stay where they are.

    Parameters
    ----------
    line_lps
        (2, 3): tip and handle, LPS mm.
    others_lps
        (n, 2, 3): the other needles, whose metal is not to be mistaken for this one's.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.

    Raises
    ------
    InputError
        When the line is too short for a needle, or no shaft is seen near it.
    """
    line = np.array(line_lps, float)
    require_needle_length(line[None])
    others = [as_needle(other) for other in others_lps]
    near = TopHat.around(line, tophat, volume)
    for _ in range(ROUNDS):
        line = _fitted_in_the_slices(line, near)
        needle, *_others = refine_needles([as_needle(line), *others], tophat, volume)
        line = np.array([needle.tip_lps, needle.handle_lps])
    line = _fitted_in_the_slices(line, near)
    (seen,) = shaft_evidence(line[None, 0], line[None, 1], near).seen
    if seen < LEAST_SEEN:
        raise InputError("No shaft is seen near this needle; drag it closer to one first.")
    return line


def as_needle(line_lps: np.ndarray) -> Needle:
    """Return the needle of a line (2, 3), tip and handle."""
    return Needle(as_point(line_lps[0]), as_point(line_lps[1]))


def _fitted_in_the_slices(line: np.ndarray, tophat: TopHat) -> np.ndarray:
    along = line[1] - line[0]
    across = np.array([-along[1], along[0], 0.0]) / max(float(np.hypot(*along[:2])), 1e-6)
    ((at_tip, _in_the_middle, at_handle),) = ridge_shifts(line[None, 0], line[None, 1], tophat)
    return line + np.array([[at_tip], [at_handle]]) * across
