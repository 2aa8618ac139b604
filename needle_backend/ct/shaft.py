"""What the picture says about the shaft between a tip and a handle, for many pairs at once.

The top-hat volume is sampled on a sheet around each straight line from tip to handle: along the
line, and across it in the slice. Needles lie nearly in the slices, so that this sheet shows the
shaft as a bright ridge, straight or bowed, next to its neighbours. A pair that joins the tip of one
needle to the handle of the next has a line whose ridge wanders off to both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from needle_backend.core.geometry import unit_vectors
from needle_backend.core.volume import Volume
from needle_backend.ct.parts import in_parts

SAMPLES = 28
"""Samples along a shaft: 4 to 8 mm apart."""
TIP_MARGIN_MM, HUB_MARGIN_MM = 4.0, 16.0
"""Left out at the two ends: the tip's own blur, and the hub."""
STEP_MM = 0.9
ACROSS_MM = STEP_MM * np.arange(-6, 7)
"""Samples across a shaft: a bow of 4 mm, and the neighbours beside it."""
BOWS_MM = np.arange(-4.0, 4.5, 1.0)
BOW_COST_HU = 6.0
"""A bowed path has to be this much brighter for each mm of bow than the straight one."""
CLIP_HU = 300.0
"""Brighter than this a shaft is no more of a shaft: a bright piece does not make up for a gap."""
SEEN_HU = 60.0
"""A path is seen where it is brighter than this."""
BESIDE_HU, BESIDE_SHARE = 100.0, 0.6
"""A path is astray where something this bright lies beside it, and it is darker than this share."""
WINDOW = np.arange(-2, 3)
"""Samples beside a path within which the ridge is looked for."""
BEYOND_MM = np.arange(5.0, 21.0, 3.0)
"""Where a shaft would go on, if the tip were not its end."""
BEYOND_ACROSS_MM = np.array([-0.9, 0.0, 0.9])
GLANCE_SAMPLES = 24
GLANCE_BOWS_MM = (-2.5, 0.0, 2.5)
FIT_NOISE_MM = 0.6
FIT_FREEDOM_MM = 1.0
"""Expected scatter of the ridge around a path, and of the path's ends and middle."""


@dataclass(frozen=True)
class ShaftEvidence:
    """How a shaft looks along each of n pairs; all (n,).

    Attributes
    ----------
    mean_hu, low_hu
        Mean and 10th percentile of the top-hat along the path, clipped at :data:`CLIP_HU`.
    seen
        Share of the path brighter than :data:`SEEN_HU`.
    astray
        Share of the path that has something much brighter beside it: where a shaft is merely faint
        it is not seen; where it is astray there is another shaft.
    wander_mm
        Root mean square distance of the ridge from the fitted path.
    tip_shift_mm, handle_shift_mm
        How far across the needle the fitted path begins and ends beside the two detected ends,
        signed.
    bow_mm
        Distance of the path's middle from the straight line, signed.
    goes_on
        Share of the next 20 mm beyond the tip that is seen like a shaft: then the tip is elsewhere.
    """

    mean_hu: np.ndarray
    low_hu: np.ndarray
    seen: np.ndarray
    astray: np.ndarray
    wander_mm: np.ndarray
    tip_shift_mm: np.ndarray
    handle_shift_mm: np.ndarray
    bow_mm: np.ndarray
    goes_on: np.ndarray

    def take(self, selection: np.ndarray) -> ShaftEvidence:
        """Return the selected pairs (indices or a boolean mask)."""
        return ShaftEvidence(**{name: values[selection] for name, values in vars(self).items()})

    def joined(self, other: ShaftEvidence) -> ShaftEvidence:
        """Return these pairs and then the others."""
        return ShaftEvidence(
            **{name: np.concatenate((v, vars(other)[name])) for name, v in vars(self).items()}
        )


def shaft_evidence(
    tips_lps: np.ndarray,
    handles_lps: np.ndarray,
    tophat: np.ndarray,
    volume: Volume,
    device: str = "cpu",
) -> ShaftEvidence:
    """Measure the shaft between tips and handles, (n, 3) LPS mm each.

    ``device`` other than "cpu" samples the volume there, through torch.
    """

    def evidence(some: slice) -> ShaftEvidence:
        return _evidence(tips_lps[some], handles_lps[some], tophat, volume, device)

    parts = in_parts(evidence, len(tips_lps), device)
    names = vars(parts[0])
    return ShaftEvidence(**{n: np.concatenate([vars(part)[n] for part in parts]) for n in names})


def _evidence(
    tips_lps: np.ndarray,
    handles_lps: np.ndarray,
    tophat: np.ndarray,
    volume: Volume,
    device: str,
) -> ShaftEvidence:
    sheets = sample_sheets(tips_lps, handles_lps, tophat, volume, device)
    bow = _brightest_bow(sheets)
    along = _smooth_along(sheets)
    path, shifts, wander = _fit_path(along, bow)
    on_path = _beside(sheets, path, np.zeros(1))[..., 0]
    around = _beside(along, path, STEP_MM * WINDOW)
    middle, brightest = around[..., len(WINDOW) // 2], around.max(axis=-1)
    clipped = np.minimum(on_path, CLIP_HU)
    return ShaftEvidence(
        mean_hu=clipped.mean(axis=1),
        low_hu=_tenth_percentile(clipped),
        seen=(on_path > SEEN_HU).mean(axis=1),
        astray=((brightest > BESIDE_HU) & (middle < BESIDE_SHARE * brightest)).mean(axis=1),
        wander_mm=wander,
        tip_shift_mm=shifts[:, 0],
        handle_shift_mm=shifts[:, 2],
        bow_mm=shifts[:, 1],
        goes_on=_goes_on(tips_lps, handles_lps, tophat, volume),
    )


def ridge_shifts(
    tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """Return how far across each line its ridge begins, bows and ends: (n, 3) mm, in the slices.

    Positive along (-y, x) of the line's own direction (x, y) from tip to handle.
    """
    sheets = sample_sheets(tips_lps, handles_lps, tophat, volume)
    _path, shifts, _wander = _fit_path(_smooth_along(sheets), _brightest_bow(sheets))
    return shifts


def sample_sheets(
    tips_lps: np.ndarray,
    handles_lps: np.ndarray,
    tophat: np.ndarray,
    volume: Volume,
    device: str = "cpu",
) -> np.ndarray:
    """Sample the sheet around each line: (n, :data:`SAMPLES`, len(:data:`ACROSS_MM`)) float32."""
    ijk, across = _lines(tips_lps, handles_lps, volume, SAMPLES)
    offsets = ACROSS_MM.astype(np.float32)
    column = ijk[..., 0, None] + offsets * across[:, None, None, 0]
    row = ijk[..., 1, None] + offsets * across[:, None, None, 1]
    slice_index = ijk[..., 2, None]
    if device == "cpu":
        return _sample(tophat, slice_index, row, column)
    return _sample_with_torch(tophat, slice_index, row, column, device)


def glance(
    tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """Return the clipped mean HU, (n,), of the brightest of a few arcs through nearest voxels.

    A tenth of the cost of :func:`shaft_evidence`; good for choosing whom to look at closely.
    """
    ijk, across = _lines(tips_lps, handles_lps, volume, GLANCE_SAMPLES)
    slices, rows, columns = tophat.shape
    values = tophat.reshape(-1)
    column, row = ijk[..., 0] + np.float32(0.5), ijk[..., 1] + np.float32(0.5)
    slice_index = np.clip(np.rint(ijk[..., 2]).astype(np.int32), 0, slices - 1)
    start = slice_index * (rows * columns)
    merits = []
    for bow in GLANCE_BOWS_MM:
        moved = (bow * _arc(GLANCE_SAMPLES)).astype(np.float32)
        i = np.clip((column + moved * across[:, :1]).astype(np.int32), 0, columns - 1)
        j = np.clip((row + moved * across[:, 1:]).astype(np.int32), 0, rows - 1)
        hu = np.minimum(values[start + j * columns + i], CLIP_HU)
        merits.append(hu.mean(axis=1, dtype=float) - BOW_COST_HU * abs(bow))
    return np.max(merits, axis=0)


def _lines(
    tips_lps: np.ndarray, handles_lps: np.ndarray, volume: Volume, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Place samples on the visible shafts.

    Returns their indices (column, row, slice), (n, samples, 3), and what a mm across each shaft is
    in columns and rows, (n, 2); float32.
    """
    along = handles_lps - tips_lps
    length = np.linalg.norm(along, axis=1, keepdims=True)
    first, last = TIP_MARGIN_MM / length, 1 - HUB_MARGIN_MM / length
    where = first + _fractions(samples) * np.maximum(last - first, 0.0)
    start = volume.lps_to_ijk(tips_lps).astype(np.float32)
    step = (along / volume.spacing_mm).astype(np.float32)
    ijk = start[:, None] + where.astype(np.float32)[..., None] * step[:, None]
    in_slice = np.maximum(np.linalg.norm(along[:, :2], axis=1, keepdims=True), 1e-6)
    across = np.column_stack((-along[:, 1], along[:, 0])) / in_slice / volume.spacing_mm[:2]
    return ijk, across.astype(np.float32)


def _goes_on(
    tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: np.ndarray, volume: Volume
) -> np.ndarray:
    """Look for a shaft beyond each tip, in line with it."""
    along = unit_vectors(tips_lps - handles_lps)
    places = volume.lps_to_ijk(tips_lps[:, None] + BEYOND_MM[:, None] * along[:, None])
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0]))) / volume.spacing_mm[:2]
    column = places[..., 0, None] + BEYOND_ACROSS_MM * across[:, None, None, 0]
    row = places[..., 1, None] + BEYOND_ACROSS_MM * across[:, None, None, 1]
    values = _sample(tophat, places[..., 2, None], row, column)
    return (values.max(axis=-1) > SEEN_HU).mean(axis=1)


def _fractions(samples: int) -> np.ndarray:
    return (np.arange(samples) + 0.5) / samples


def _arc(samples: int) -> np.ndarray:
    """Shape of a unit bow along the samples."""
    fractions = _fractions(samples)
    return 4 * fractions * (1 - fractions)


def _sample(
    array: np.ndarray, slice_index: np.ndarray, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """Interpolate trilinearly, edges repeated: map_coordinates in half its time."""
    values = array.reshape(-1)
    k, part_k, next_k = _cell(slice_index, array.shape[0])
    j, part_j, next_j = _cell(row, array.shape[1])
    i, part_i, next_i = _cell(column, array.shape[2])
    columns = array.shape[2]
    corner = (k * array.shape[1] + j) * columns + i

    def in_row(at: np.ndarray) -> np.ndarray:
        left = values[at].astype(np.float32)
        return left + (values[at + next_i] - left) * part_i

    def in_slice(at: np.ndarray) -> np.ndarray:
        upper = in_row(at)
        return upper + (in_row(at + next_j * columns) - upper) * part_j

    near = in_slice(corner)
    return near + (in_slice(corner + next_k * array.shape[1] * columns) - near) * part_k


def _cell(index: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the cell that holds each index, the place in it (0..1), and the step to the next."""
    index = np.clip(index, 0, size - 1).astype(np.float32)
    cell = np.minimum(index.astype(np.int32), max(size - 2, 0))
    return cell, index - cell, int(size > 1)


def _sample_with_torch(
    array: np.ndarray, slice_index: np.ndarray, row: np.ndarray, column: np.ndarray, device: str
) -> np.ndarray:
    import torch

    def scaled(index: np.ndarray, size: int) -> np.ndarray:
        return 2.0 * index / max(size - 1, 1) - 1.0

    slices, rows, columns = array.shape
    where = np.broadcast_arrays(
        scaled(column, columns), scaled(row, rows), scaled(slice_index, slices)
    )
    grid = torch.as_tensor(np.stack(where, axis=-1)[None], device=device)
    image = torch.as_tensor(array, device=device).to(grid.dtype)[None, None]
    values = torch.nn.functional.grid_sample(
        image, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return values[0, 0].cpu().numpy()


def _tenth_percentile(path: np.ndarray) -> np.ndarray:
    return np.partition(path, SAMPLES // 10, axis=1)[:, SAMPLES // 10]


def _brightest_bow(sheets: np.ndarray) -> np.ndarray:
    """Return the bow, mm, of the brightest even path through each sheet."""
    clipped = np.minimum(sheets, CLIP_HU)
    merits = []
    for bow in BOWS_MM:
        position = (bow * _arc(SAMPLES) - ACROSS_MM[0]) / STEP_MM
        left = position.astype(int)
        part = (position - left).astype(np.float32)
        samples = np.arange(SAMPLES)
        path = clipped[:, samples, left] * (1 - part) + clipped[:, samples, left + 1] * part
        merits.append(path.mean(axis=1) + _tenth_percentile(path) - BOW_COST_HU * abs(bow))
    return BOWS_MM[np.argmax(merits, axis=0)]


def _fit_path(along: np.ndarray, bow: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit an arc to the ridge near each first guess.

    Returns the path (n, samples) in mm across, the shifts of its beginning, middle and end (n, 3),
    and the root mean square distance of the ridge from it (n,).
    """
    fractions = _fractions(SAMPLES)
    shapes = np.stack((1 - fractions, _arc(SAMPLES), fractions), axis=1)
    guess = np.zeros((len(bow), 3))
    guess[:, 1] = bow
    path = guess @ shapes.T
    around = _beside(along, path, STEP_MM * WINDOW)
    height = np.square(around - around.min(axis=-1, keepdims=True) + 1e-3)
    ridge = path + (height @ (STEP_MM * WINDOW)) / height.sum(axis=-1)
    weight = np.minimum(around[..., len(WINDOW) // 2], CLIP_HU) / CLIP_HU + 0.02
    information = (weight @ (shapes[:, :, None] * shapes[:, None, :]).reshape(SAMPLES, 9)).reshape(
        -1, 3, 3
    ) / FIT_NOISE_MM**2 + np.eye(3) / FIT_FREEDOM_MM**2
    pull = (weight * ridge) @ shapes / FIT_NOISE_MM**2 + guess / FIT_FREEDOM_MM**2
    shifts = np.linalg.solve(information, pull[..., None])[..., 0]
    path = shifts @ shapes.T
    wander = np.sqrt((weight * (ridge - path) ** 2).sum(axis=1) / weight.sum(axis=1))
    return path, shifts, wander


def _smooth_along(sheets: np.ndarray) -> np.ndarray:
    """Average three samples along each line, to see the ridge through the noise."""
    padded = np.pad(sheets, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def _beside(sheets: np.ndarray, path_mm: np.ndarray, offsets_mm: np.ndarray) -> np.ndarray:
    """Interpolate sheets at ``offsets_mm`` beside a path (n, samples): (n, samples, offsets)."""
    position = (path_mm[..., None] + offsets_mm - ACROSS_MM[0]) / STEP_MM
    position = np.clip(position, 0, len(ACROSS_MM) - 1.001)
    left = position.astype(int)
    part = (position - left).astype(np.float32)
    lower = np.take_along_axis(sheets, left, axis=2)
    upper = np.take_along_axis(sheets, left + 1, axis=2)
    return lower + (upper - lower) * part
