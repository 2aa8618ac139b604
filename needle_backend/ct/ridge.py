"""Lay a line that a person drew roughly along a needle onto the shaft that the picture shows."""

from __future__ import annotations

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.geometry import unit_vectors
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.rescore import drawn_pairs
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.shaft import shaft_evidence

ROUNDS = 4
"""Each sees more of the shaft than the one before, as the line comes nearer to it."""
LEAST_SEEN = 0.25
"""Share of the fitted line that must show a shaft."""
SAME_MM = 2.0
"""Lines whose ends are nearer than this lie on one shaft."""


def fit_to_ridge(
    line_lps: np.ndarray,
    others_lps: np.ndarray,
    options: LocateOptions,
    tophat: np.ndarray,
    volume: Volume,
) -> np.ndarray:
    """Return the line moved across its direction onto the nearest shaft, some 5 mm away at most.

    Both ends go where :mod:`.pair_network` reads from the picture that they should: on the chord of
    the shaft, where that is bowed. Along the needle they stay where they are.

    Parameters
    ----------
    line_lps
        (2, 3): tip and handle, LPS mm.
    others_lps
        (n, 2, 3): the other needles, whose shafts are theirs.
    options
        The network's weights.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.

    Raises
    ------
    InputError
        When the line is too short for a needle, no shaft is seen near it or only another needle's,
        or weights are missing.
    """
    line = np.array(line_lps, float)
    for _ in range(ROUNDS):
        line = _moved_across(line, options, tophat, volume)
    near = TopHat.around(line, tophat, volume)
    (seen,) = shaft_evidence(line[None, 0], line[None, 1], near).seen
    if seen < LEAST_SEEN:
        raise InputError("No shaft is seen near this needle; drag it closer to one first.")
    if np.any(np.linalg.norm(others_lps - line, axis=2).max(axis=1) < SAME_MM):
        raise InputError(
            "The shaft near this needle is another needle's; drag it closer to its own first."
        )
    return line


def _moved_across(
    line: np.ndarray, options: LocateOptions, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    from needle_backend.ct.pair_network import load_pair_network
    from needle_backend.ct.second_look import look_at, with_corrected_ends

    pairs = drawn_pairs(line[None], tophat, volume)
    near = TopHat.around(line, tophat, volume)
    look = look_at(pairs, near, load_pair_network(options.pair_weights, near.device))
    corrected = with_corrected_ends(pairs, look.offsets_mm)
    moves = np.stack((corrected.tips_lps[0], corrected.handles_lps[0])) - line
    along = unit_vectors(line[1] - line[0])
    return line + moves - (moves @ along)[:, None] * along
