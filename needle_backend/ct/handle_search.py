"""Find the handle that belongs to a tip: the hub at the other end of its shaft."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.core.volume import Volume
from needle_backend.ct.classical import find_hubs
from needle_backend.ct.lengths import length_support
from needle_backend.ct.pairs import Pairs
from needle_backend.ct.rescore import drawn_pairs
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import SECOND_LOOK, log_odds

TAKEN_MM = 4.0
"""A hub this near to another needle's handle is that needle's."""
LOOKS = 2
"""The second is at ends that are nearly right, as the first finds them."""
LEAST_LOG_ODDS = -4.0
"""A less likely needle is not offered."""


def find_handle(
    tip_lps: np.ndarray,
    handles_lps: np.ndarray,
    others_lps: np.ndarray,
    options: LocateOptions,
    tophat: np.ndarray,
    volume: Volume,
) -> np.ndarray:
    """Return the line (2, 3) from a tip along its shaft to the centre of its hub, LPS mm.

    All hubs within reach are paired with the tip and judged as pairs of detected ends are: by what
    the picture shows between them, with their ends put right, and by the other needles' lengths.

    Parameters
    ----------
    tip_lps
        (3,) LPS mm.
    handles_lps
        (n, 3): handles known to belong to no needle; hubs are looked for besides.
    others_lps
        (m, 2, 3): the other needles; their handles are taken, their lengths are likely.
    options
        The lengths that a needle may have.
    tophat
        White top-hat of the CT, [slice, row, column], HU.
    volume
        Where the array lies in the patient.

    Raises
    ------
    InputError
        When no hub lies at the end of a shaft from this tip, or weights are missing.
    """
    hubs = np.concatenate([np.reshape(handles_lps, (-1, 3)), find_hubs(volume, tophat)])
    others = np.reshape(others_lps, (-1, 2, 3))
    lengths_mm = np.linalg.norm(hubs - tip_lps, axis=1)
    in_reach = np.abs(lengths_mm - options.length_mm) <= options.length_tolerance_mm
    gaps_mm = np.linalg.norm(hubs[:, None] - others[:, 1], axis=2)
    free = hubs[in_reach & np.all(gaps_mm > TAKEN_MM, axis=1)]
    if len(free) > 0:
        lines = np.stack([np.broadcast_to(tip_lps, free.shape), free], axis=1)
        pairs = _judged(drawn_pairs(lines, tophat, volume), others, options, tophat, volume)
        best = pairs.score.argmax()
        if pairs.score[best] > LEAST_LOG_ODDS:
            return np.stack((pairs.tips_lps[best], pairs.handles_lps[best]))
    raise InputError(
        "No handle was found at the end of a shaft from this tip; add the needle by two "
        "clicks, on its tip and on its hub."
    )


def _judged(
    pairs: Pairs, others: np.ndarray, options: LocateOptions, tophat: np.ndarray, volume: Volume
) -> Pairs:
    """Return pairs with their ends put right, and the log-odds that each is a needle."""
    from needle_backend.ct.pair_network import load_pair_network
    from needle_backend.ct.second_look import look_at, with_corrected_ends

    near = TopHat.around(np.concatenate((pairs.tips_lps, pairs.handles_lps)), tophat, volume)
    network = load_pair_network(options.pair_weights, near.device)
    looks = []
    for _ in range(LOOKS):
        look = look_at(pairs, near, network)
        looks.append(look.log_odds)
        pairs = with_corrected_ends(pairs, look.offsets_mm)
    witness_mm = np.linalg.norm(others[:, 1] - others[:, 0], axis=1)
    support = length_support(
        pairs.length_mm,
        witness_mm,
        np.ones((len(pairs), len(witness_mm))),
        2 * options.length_tolerance_mm,
    )
    features = {"network": np.mean(looks, axis=0), "length_support": support}
    return replace(pairs, length_support=support, score=log_odds(features, SECOND_LOOK))
