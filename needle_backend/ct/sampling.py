"""Read a CT's top-hat at many places at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from needle_backend.core.volume import Volume

if TYPE_CHECKING:
    import torch

DARK_SLICES = 3
"""So many lie before the first slice and beyond the last one."""
AROUND_MM = 40.0
"""Tips are placed, and lines looked at, so far from what was detected, at most."""


@dataclass(frozen=True)
class TopHat:
    """White top-hat of a CT, and where it lies in the patient.

    Attributes
    ----------
    array
        HU, [slice, row, column].
    volume
        The CT itself.
    tall
        The array in float32 on the device that reads it, dark slices around it.
    """

    array: np.ndarray
    volume: Volume
    tall: torch.Tensor

    @classmethod
    def of(cls, array: np.ndarray, volume: Volume, device: str = "cpu") -> TopHat:
        """Copy a CT's top-hat to where it will be read: "cpu", or a torch device."""
        import torch

        slices, rows, columns = array.shape
        tall = torch.empty((slices + 2 * DARK_SLICES, rows, columns), device=device)
        tall[:DARK_SLICES] = tall[-DARK_SLICES:] = 0.0
        tall[DARK_SLICES:-DARK_SLICES] = torch.from_numpy(array)
        return cls(array, volume, tall)

    @classmethod
    def around(
        cls, points_lps: np.ndarray, array: np.ndarray, volume: Volume, device: str = "cpu"
    ) -> TopHat:
        """Copy only what lies within :data:`AROUND_MM` of the box of some points, (n, 3) LPS mm."""
        ijk = volume.lps_to_ijk(points_lps)
        reach = AROUND_MM / np.array(volume.spacing_mm)
        last = np.array(array.shape[::-1]) - 1
        high = np.clip(ijk.max(axis=0, initial=-np.inf) + reach, 0, last).astype(int)
        low = np.clip(ijk.min(axis=0, initial=np.inf) - reach, 0, high).astype(int)
        part = tuple(slice(a, b + 1) for a, b in zip(low[::-1], high[::-1], strict=True))
        x, y, z = volume.ijk_to_lps(low)
        here = replace(volume, array=volume.array[part], origin_lps=(x, y, z))
        return cls.of(np.ascontiguousarray(array[part]), here, device)

    @property
    def device(self) -> str:
        """Where it is read."""
        return str(self.tall.device)

    def on_slices(
        self, first: np.ndarray, row: np.ndarray, column: np.ndarray, count: int
    ) -> torch.Tensor:
        """Interpolate in each of some slices; rows and columns are repeated at the edges.

        Parameters
        ----------
        first
            Indices of the first of these slices; beyond the volume all is dark.
        row, column
            Continuous indices. The shapes of all three broadcast.
        count
            So many slices that follow one another, :data:`DARK_SLICES` at most.

        Returns
        -------
        torch.Tensor
            (count, *shape) float32, on the device.
        """
        import torch

        slices, rows, columns = self.tall.shape
        first = np.clip(first + DARK_SLICES, 0, slices - DARK_SLICES)
        height = (slices - count + 1) * rows
        across, down = np.float32(2 / max(columns - 1, 1)), np.float32(2 / (height - 1))
        top = (first * (2 * rows / (height - 1)) - 1).astype(np.float32)
        grid = np.empty((*np.broadcast_shapes(first.shape, row.shape, column.shape), 2), np.float32)
        grid[..., 0] = np.asarray(column, np.float32) * across - 1
        grid[..., 1] = np.clip(np.asarray(row, np.float32), 0, rows - 1) * down + top
        # Slices below each other are one tall picture, whose channels are the slices that follow:
        # a place is worked out in two dimensions, and once for all of them.
        picture = self.tall.as_strided((1, count, height, columns), (0, rows * columns, columns, 1))
        values = torch.nn.functional.grid_sample(
            picture,
            torch.from_numpy(grid).to(self.tall.device).reshape(1, 1, -1, 2),
            padding_mode="border",
            align_corners=True,
        )
        return values.reshape(count, *grid.shape[:-1])

    def between_slices(
        self, slice_index: np.ndarray, row: np.ndarray, column: np.ndarray
    ) -> np.ndarray:
        """Interpolate in all three directions, repeated at the edges; shapes broadcast."""
        last = len(self.array) - 1
        slice_index = np.clip(slice_index, 0, last)
        first = np.minimum(slice_index.astype(np.int32), max(last - 1, 0))
        near, beyond = self.on_slices(first, row, column, 2).cpu().numpy()
        return near + (beyond - near) * (slice_index - first).astype(np.float32)
