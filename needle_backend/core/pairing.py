"""Which needle of one set belongs to which of another: a second CT's, a plan's, a reference's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from needle_backend.core.needles import Needle


def ends_of(needles: Sequence[Needle]) -> np.ndarray:
    """Return tips and handles, (n, 2, 3) LPS mm."""
    return np.array([(n.tip_lps, n.handle_lps) for n in needles], float).reshape(-1, 2, 3)


def pair_one_to_one(distance_mm: np.ndarray, gate_mm: float) -> np.ndarray:
    """Pair rows with columns: as many pairs inside the gate as there can be, then the nearest.

    An assignment by distance alone, gated afterwards, would lose pairs.

    Parameters
    ----------
    distance_mm
        (n, m), of every row from every column.
    gate_mm
        Rows and columns farther apart never belong together.

    Returns
    -------
    np.ndarray
        (k, 2): row and column of each pair, by row.
    """
    from scipy.optimize import linear_sum_assignment

    distance_mm = np.asarray(distance_mm, float)
    inside = distance_mm <= gate_mm
    # All distances of a whole pairing together weigh less than one more pair does.
    share = distance_mm / (gate_mm * (min(distance_mm.shape) + 1) + 1e-9)
    rows, columns = linear_sum_assignment(np.where(inside, 1.0 - share, 0.0), maximize=True)
    paired = inside[rows, columns]
    return np.column_stack((rows[paired], columns[paired]))


def pair_nearest(distance_mm: np.ndarray, gate_mm: float) -> np.ndarray:
    """Pair rows with columns, rather one far away and the others near than all halfway.

    What counts is the sum of the distances' square roots; leaving a row and a column apart costs as
    much as pairing them at the gate. So one that came and one that went do not make every needle
    between them take its neighbour's place, as :func:`pair_one_to_one` would have it.

    Parameters
    ----------
    distance_mm
        (n, m), of every row from every column.
    gate_mm
        Rows and columns farther apart never belong together.

    Returns
    -------
    np.ndarray
        (k, 2): row and column of each pair, by row.
    """
    from scipy.optimize import linear_sum_assignment

    gain = 1.0 - np.sqrt(np.minimum(np.asarray(distance_mm, float) / gate_mm, 1.0))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    paired = gain[rows, columns] > 0
    return np.column_stack((rows[paired], columns[paired]))
