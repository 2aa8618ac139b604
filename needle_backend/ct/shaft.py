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
from needle_backend.ct.sampling import TopHat

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
GLANCE_SAMPLES = 18
GLANCE_BOWS_MM = (-2.5, 0.0, 2.5)
FIT_NOISE_MM = 0.6
FIT_FREEDOM_MM = 1.0
"""Expected scatter of the ridge around a path, and of the path's ends and middle."""


@dataclass(frozen=True)
class ShaftEvidence:
    """How a shaft looks along each of n pairs; all (n,).

    Attributes
    ----------
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


def shaft_evidence(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> ShaftEvidence:
    """Measure the shaft between tips and handles, (n, 3) LPS mm each."""
    sheets = sample_sheets(tips_lps, handles_lps, tophat)
    along = _smooth_along(sheets)
    path, shifts, wander = _fit_path(along, _brightest_bow(sheets))
    (on_path,) = _beside(sheets, path, np.zeros(1, int))
    around = _beside(along, path, WINDOW)
    middle, brightest = around[len(WINDOW) // 2], around.max(axis=0)
    return ShaftEvidence(
        seen=(on_path > SEEN_HU).mean(axis=1),
        astray=((brightest > BESIDE_HU) & (middle < BESIDE_SHARE * brightest)).mean(axis=1),
        wander_mm=wander,
        tip_shift_mm=shifts[:, 0],
        handle_shift_mm=shifts[:, 2],
        bow_mm=shifts[:, 1],
        goes_on=_goes_on(tips_lps, handles_lps, tophat),
    )


def ridge_shifts(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> np.ndarray:
    """Return how far across each line its ridge begins, bows and ends: (n, 3) mm, in the slices.

    Positive along (-y, x) of the line's own direction (x, y) from tip to handle.
    """
    sheets = sample_sheets(tips_lps, handles_lps, tophat)
    _path, shifts, _wander = _fit_path(_smooth_along(sheets), _brightest_bow(sheets))
    return shifts


def sample_sheets(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> np.ndarray:
    """Sample the sheet around each line: (n, :data:`SAMPLES`, len(:data:`ACROSS_MM`)) float32."""
    (column, row, slice_index), across = _lines(tips_lps, handles_lps, tophat.volume, SAMPLES)
    offsets = ACROSS_MM.astype(np.float32)
    columns = column[..., None] + offsets * across[0, :, None, None]
    rows = row[..., None] + offsets * across[1, :, None, None]
    return tophat.between_slices(slice_index[..., None], rows, columns)


def glance(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> np.ndarray:
    """Return the clipped mean HU, (n,), of the brightest of a few arcs through nearest voxels.

    A tenth of the cost of :func:`shaft_evidence`; good for choosing whom to look at closely.
    """
    ijk, across = _lines(tips_lps, handles_lps, tophat.volume, GLANCE_SAMPLES)
    slices, rows, columns = tophat.array.shape
    values = tophat.array.reshape(-1)
    column, row, slice_index = ijk + np.float32(0.5)
    start = np.clip(slice_index.astype(np.int32), 0, slices - 1) * (rows * columns)
    merits = []
    for bow in GLANCE_BOWS_MM:
        moved = (bow * _arc(GLANCE_SAMPLES)).astype(np.float32)
        i = np.clip((column + moved * across[0, :, None]).astype(np.int32), 0, columns - 1)
        j = np.clip((row + moved * across[1, :, None]).astype(np.int32), 0, rows - 1)
        hu = np.minimum(values.take(start + j * columns + i).astype(np.float32), CLIP_HU)
        merits.append(hu.mean(axis=1) - BOW_COST_HU * abs(bow))
    return np.max(merits, axis=0)


def _lines(
    tips_lps: np.ndarray, handles_lps: np.ndarray, volume: Volume, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Place samples on the visible shafts.

    Returns their indices (column, row, slice), (3, n, samples), and what a mm across each shaft is
    in columns and rows, (2, n); float32.
    """
    along = handles_lps - tips_lps
    length = np.linalg.norm(along, axis=1, keepdims=True)
    first, last = TIP_MARGIN_MM / length, 1 - HUB_MARGIN_MM / length
    where = first + _fractions(samples) * np.maximum(last - first, 0.0)
    start = volume.lps_to_ijk(tips_lps).T.astype(np.float32)
    step = (along / volume.spacing_mm).T.astype(np.float32)
    ijk = start[..., None] + where.astype(np.float32) * step[..., None]
    in_slice = np.maximum(np.linalg.norm(along[:, :2], axis=1, keepdims=True), 1e-6)
    across = np.column_stack((-along[:, 1], along[:, 0])) / in_slice / volume.spacing_mm[:2]
    return ijk, across.T.astype(np.float32)


def _goes_on(tips_lps: np.ndarray, handles_lps: np.ndarray, tophat: TopHat) -> np.ndarray:
    """Look for a shaft beyond each tip, in line with it."""
    volume = tophat.volume
    along = unit_vectors(tips_lps - handles_lps)
    places = volume.lps_to_ijk(tips_lps[:, None] + BEYOND_MM[:, None] * along[:, None])
    across = unit_vectors(np.column_stack((-along[:, 1], along[:, 0]))) / volume.spacing_mm[:2]
    column = places[..., 0, None] + BEYOND_ACROSS_MM * across[:, None, None, 0]
    row = places[..., 1, None] + BEYOND_ACROSS_MM * across[:, None, None, 1]
    values = tophat.between_slices(places[..., 2, None], row, column)
    return (values.max(axis=-1) > SEEN_HU).mean(axis=1)


def _fractions(samples: int) -> np.ndarray:
    return (np.arange(samples) + 0.5) / samples


def _arc(samples: int) -> np.ndarray:
    """Shape of a unit bow along the samples."""
    fractions = _fractions(samples)
    return 4 * fractions * (1 - fractions)


def _tenth_percentile(path: np.ndarray) -> np.ndarray:
    return np.partition(path, SAMPLES // 10, axis=-1)[..., SAMPLES // 10]


def _bow_weights() -> np.ndarray:
    """Return what each sample of a sheet counts for each bow's path: (samples, across, bows)."""
    column = (_arc(SAMPLES)[:, None] * BOWS_MM - ACROSS_MM[0]) / STEP_MM
    away = np.abs(column[:, None] - np.arange(len(ACROSS_MM))[:, None])
    return np.maximum(1 - away, 0.0).astype(np.float32)


_BOW_WEIGHTS = _bow_weights()


def _brightest_bow(sheets: np.ndarray) -> np.ndarray:
    """Return the bow, mm, of the brightest even path through each sheet."""
    clipped = np.minimum(sheets, CLIP_HU).swapaxes(0, 1)
    paths = (clipped @ _BOW_WEIGHTS).transpose(1, 2, 0)
    merit = paths.mean(axis=-1) + _tenth_percentile(paths) - BOW_COST_HU * np.abs(BOWS_MM)
    return BOWS_MM[np.argmax(merit, axis=1)]


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
    around = _beside(along, path, WINDOW)
    height = np.square(around - around.min(axis=0) + 1e-3)
    ridge = path + STEP_MM * np.tensordot(WINDOW, height, 1) / height.sum(axis=0)
    weight = np.minimum(around[len(WINDOW) // 2], CLIP_HU) / CLIP_HU + 0.02
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


def _beside(sheets: np.ndarray, path_mm: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Interpolate sheets on a path (n, samples) and steps beside it: (steps, n, samples)."""
    position = (path_mm - ACROSS_MM[0]) / STEP_MM
    left = np.floor(position).astype(int)
    part = (position - left).astype(np.float32)
    last = len(ACROSS_MM) - 1
    start = np.arange(left.size).reshape(left.shape) * len(ACROSS_MM)
    around = np.arange(steps[0], steps[-1] + 2)[:, None, None]
    values = sheets.reshape(-1)[start + np.clip(left + around, 0, last)]
    return values[:-1] + (values[1:] - values[:-1]) * part
