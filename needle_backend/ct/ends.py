"""Detected needle ends: on single slices, and fused over slices; arrays side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HANDLE, TIP = 0, 1
"""The two classes, also the order of the network's heatmap channels."""


@dataclass(frozen=True)
class SliceEnds:
    """Ends of both classes as the network sees them, slice by slice; n entries each.

    Attributes
    ----------
    kind
        :data:`HANDLE` or :data:`TIP`.
    column, row
        Continuous pixel position, (n,) float.
    slice_index
        Slice, (n,) int.
    angle_deg
        Direction towards the needle's other end in the slice, atan2(-dy, dx) in mm with y pointing
        down the array (posterior), full circle.
    score
        Heatmap value, 0..1.
    """

    kind: np.ndarray
    column: np.ndarray
    row: np.ndarray
    slice_index: np.ndarray
    angle_deg: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def of_kind(self, kind: int) -> SliceEnds:
        """Return the entries of one class."""
        return self.take(self.kind == kind)

    def take(self, selection: np.ndarray) -> SliceEnds:
        """Return the selected entries (indices or a boolean mask)."""
        return SliceEnds(
            self.kind[selection],
            self.column[selection],
            self.row[selection],
            self.slice_index[selection],
            self.angle_deg[selection],
            self.score[selection],
        )


@dataclass(frozen=True)
class Ends:
    """Ends of one class in the patient, fused over slices; n entries each.

    Attributes
    ----------
    points_lps
        (n, 3) LPS mm.
    angle_deg
        As in :class:`SliceEnds`.
    score
        Highest heatmap value among the fused detections.
    slice_count
        On how many slices the end was seen.
    """

    points_lps: np.ndarray
    angle_deg: np.ndarray
    score: np.ndarray
    slice_count: np.ndarray

    def __len__(self) -> int:
        return len(self.points_lps)
