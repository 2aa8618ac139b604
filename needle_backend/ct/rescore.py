"""Score lines that a person drew or dragged, as the pairs of detected ends are scored."""

from __future__ import annotations

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.volume import Volume
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import FIRST_LOOK, first_look_features, log_odds
from needle_backend.ct.shaft import shaft_evidence

SHORTEST_MM = 20.0


def score_lines(lines_lps: np.ndarray, tophat: np.ndarray, volume: Volume) -> np.ndarray:
    """Return the log-odds that each line is a needle, judged by its shaft alone.

    Nothing is known of directions seen at the ends or of lengths shared with other needles, and the
    ends were placed by a person: all of that counts as fitting.

    Parameters
    ----------
    lines_lps
        (n, 2, 3): tip and handle, LPS mm.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.

    Returns
    -------
    np.ndarray
        (n,)

    Raises
    ------
    InputError
        When a line is too short to be a needle.
    """
    pairs = drawn_pairs(lines_lps, tophat, volume)
    features = {**first_look_features(pairs), "length_support": np.zeros(len(pairs))}
    return log_odds(features, FIRST_LOOK)


def drawn_pairs(lines_lps: np.ndarray, tophat: np.ndarray, volume: Volume) -> Pairs:
    """Return lines as pairs of ends that were surely seen, each pointing at the other.

    Raises
    ------
    InputError
        When a line is too short to be a needle.
    """
    tips, handles = lines_lps[:, 0], lines_lps[:, 1]
    length_mm = require_needle_length(lines_lps)
    near = TopHat.around(lines_lps.reshape(-1, 3), tophat, volume)
    nothing = np.zeros(len(lines_lps))
    index = np.arange(len(lines_lps))
    return Pairs(
        tip=index,
        handle=index,
        seen_as=index,
        tips_lps=tips,
        handles_lps=handles,
        moved_mm=nothing,
        score=nothing,
        published_score=nothing,
        length_mm=length_mm,
        length_support=nothing,
        tip_turn_deg=nothing,
        handle_turn_deg=nothing,
        tip_heatmap=nothing + 1.0,
        handle_heatmap=nothing + 1.0,
        shaft=shaft_evidence(tips, handles, near),
    )


def require_needle_length(lines_lps: np.ndarray) -> np.ndarray:
    """Return the lengths in mm, (n,), of lines (n, 2, 3).

    Raises
    ------
    InputError
        When one is too short to be a needle.
    """
    length_mm = np.linalg.norm(lines_lps[:, 1] - lines_lps[:, 0], axis=1)
    if not np.all(length_mm >= SHORTEST_MM):
        raise InputError(f"A needle's tip and handle lie at least {SHORTEST_MM:.0f} mm apart.")
    return length_mm
