"""Lengths that the needles of a case share: needles come in a few lengths, whatever the patient."""

from __future__ import annotations

import numpy as np

SPREAD_MM = 1.2
"""Scatter of measured lengths of equal needles."""
ANY_LENGTH_WEIGHT = 2.0
"""Weight of "any length": that many sure witnesses must agree before a length counts much."""
SHARED_WEIGHT = 1.5
"""Weight of the witnesses that make a length a shared one."""


def length_support(
    length_mm: np.ndarray,
    witness_mm: np.ndarray,
    weight: np.ndarray,
    range_mm: float,
) -> np.ndarray:
    """Return how witnesses speak for each length, as log-odds against any length being as likely.

    The witnesses make a density of lengths, together with an even one over the whole range; the
    result is its logarithm over the even one. Several lengths make several peaks; few or scattered
    witnesses make none.

    Parameters
    ----------
    length_mm
        Lengths in question, (n,).
    witness_mm
        Measured lengths, (m,).
    weight
        How much each witness counts for each length, (n, m), 0..1.
    range_mm
        Width of the range of possible lengths.
    """
    off = (length_mm[:, None] - witness_mm) / SPREAD_MM
    density = np.exp(-0.5 * off**2) / (SPREAD_MM * np.sqrt(2 * np.pi))
    told = (weight * density).sum(axis=1) * range_mm
    return np.log((ANY_LENGTH_WEIGHT + told) / (ANY_LENGTH_WEIGHT + weight.sum(axis=1)))


def shared_lengths(witness_mm: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the lengths on which enough witnesses agree, those with most agreement first.

    Parameters
    ----------
    witness_mm, weight
        Measured lengths and how much each counts, (m,).
    """
    shared = []
    left = np.array(weight, float)
    near = np.exp(-0.5 * ((witness_mm[:, None] - witness_mm) / SPREAD_MM) ** 2)
    while len(left) > 0:
        agreement = near @ left
        best = int(agreement.argmax())
        if agreement[best] < SHARED_WEIGHT:
            break
        shared.append(np.average(witness_mm, weights=near[best] * left))
        left[np.abs(witness_mm - witness_mm[best]) <= 3 * SPREAD_MM] = 0.0
    return np.array(shared)
