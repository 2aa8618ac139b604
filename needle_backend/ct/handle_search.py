"""Find the handle that belongs to a tip: the hub at the other end of its shaft."""

from __future__ import annotations

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.classical import find_hubs
from needle_backend.ct.rescore import score_lines
from needle_backend.ct.ridge import fit_to_ridge

TAKEN_MM = 4.0
"""A hub this near to another needle's handle is that needle's."""
LEAST_LOG_ODDS = -3.0
"""A line that the picture fits worse than this is not offered."""


def find_handle(
    tip_lps: np.ndarray,
    handles_lps: np.ndarray,
    others_lps: np.ndarray,
    options: LocateOptions,
    tophat: np.ndarray,
    volume: Volume,
) -> np.ndarray:
    """Return the line (2, 3) from a tip along its shaft to the centre of its hub, LPS mm.

    Of all hubs within reach the one is taken whose line to the tip shows most of a shaft; the line
    is then fitted to that shaft.

    Parameters
    ----------
    tip_lps
        (3,) LPS mm.
    handles_lps
        (n, 3): handles known to belong to no needle; hubs are looked for besides.
    others_lps
        (m, 2, 3): the other needles; their handles are taken.
    options
        The lengths that a needle may have.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.

    Raises
    ------
    InputError
        When no hub lies at the end of a shaft from this tip.
    """
    hubs = np.concatenate([np.reshape(handles_lps, (-1, 3)), find_hubs(volume, tophat)])
    lengths_mm = np.linalg.norm(hubs - tip_lps, axis=1)
    in_reach = np.abs(lengths_mm - options.length_mm) <= options.length_tolerance_mm
    gaps_mm = np.linalg.norm(hubs[:, None] - np.reshape(others_lps, (-1, 2, 3))[:, 1], axis=2)
    free = hubs[in_reach & np.all(gaps_mm > TAKEN_MM, axis=1)]
    lines = np.stack([np.broadcast_to(tip_lps, free.shape), free], axis=1)
    scores = score_lines(lines, tophat, volume)
    if not np.any(scores > LEAST_LOG_ODDS):
        raise InputError(
            "No handle was found at the end of a shaft from this tip; add the needle by two "
            "clicks, on its tip and on its hub."
        )
    return fit_to_ridge(lines[scores.argmax()], others_lps, tophat, volume)
