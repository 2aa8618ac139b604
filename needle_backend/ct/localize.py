"""Find all needles of a CT: the steps of this package, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from needle_backend.core.device import choose_device, leave_cores_free
from needle_backend.core.errors import InputError
from needle_backend.core.needles import (
    LocateOptions,
    LocateResult,
    NeedleCount,
    Point,
    as_point,
    number_needles,
)
from needle_backend.core.progress import CancelToken, Progress
from needle_backend.core.volume import Volume
from needle_backend.core.weights import WeightsFile, find_weights
from needle_backend.ct.doubts import assess
from needle_backend.ct.ends import HANDLE, TIP, SliceEnds
from needle_backend.ct.fuse import fuse_over_slices
from needle_backend.ct.loose_ends import loose_ends
from needle_backend.ct.match import match
from needle_backend.ct.preprocess import InputSettings, white_top_hat, white_top_hat_on
from needle_backend.ct.sampling import TopHat
from needle_backend.ct.score import score_pairs

if TYPE_CHECKING:
    from needle_backend.ct.network import TipHandleNetwork

_TOP_HAT_SLICES = 8


class Localizer(Protocol):
    """Whatever finds needles: in this process, in another, or a stand-in."""

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Find the needles of a CT.

        ``progress`` is called with the stages "tophat", "network" and "match".

        Raises
        ------
        InputError
            When an option or the weights cannot be used.
        Cancelled
            Soon after ``cancel`` was set.
        """
        ...


@dataclass(frozen=True)
class _LoadedNetwork:
    weights: WeightsFile
    device: str
    network: TipHandleNetwork
    inputs: InputSettings


class InProcessLocalizer:
    """Finds needles in this process; the network is loaded on first use and kept."""

    def __init__(self) -> None:
        self._loaded: _LoadedNetwork | None = None

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Find the needles of a CT; see :meth:`Localizer.locate`.

        A GPU whose memory is full, or that fails, is given up for the CPU; a warning says why.
        """
        result, _ = self.locate_with_ends(volume, options, progress, cancel)
        return result

    def locate_with_ends(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> tuple[LocateResult, SliceEnds]:
        """Find the needles of a CT, and return beside them the ends seen on its slices."""
        clock = _Clock()
        with clock.measured("start"):
            choice = choose_device(options.device)
            leave_cores_free()
        locate_on = partial(self._locate_on, volume, options, progress, cancel, clock)
        try:
            result, seen = locate_on(choice.device)
            warnings = choice.warnings
        except RuntimeError as error:  # as all of torch's and CUDA's errors are
            if choice.device == "cpu":
                raise
            given_up = f"{choice.device} cannot be used ({_reason(error)})"
            warnings = (*choice.warnings, f"{given_up}, so the CPU computes instead.")
            result, seen = locate_on("cpu")
        timings_s = clock.timings_s()
        return replace(result, timings_s=timings_s, warnings=warnings + result.warnings), seen

    def _locate_on(
        self,
        volume: Volume,
        options: LocateOptions,
        progress: Progress,
        cancel: CancelToken,
        clock: _Clock,
        device: str,
    ) -> tuple[LocateResult, SliceEnds]:
        warnings: list[str] = []
        least = _thresholds(options)
        with clock.measured("start"):
            loaded = self.load(options.weights, device)
            _check_pair_weights(options, loaded.device)
        with clock.measured("tophat"):
            tophat = _top_hat(volume.array, device, progress, cancel)
        with clock.measured("network"):
            seen = _detect(loaded, volume.array, least, progress, cancel, warnings)
        with clock.measured("match"):
            progress("match", 0.0)
            result = needles_from_ends(seen, volume, tophat, options, cancel, device)
            progress("match", 1.0)
        name = _names(loaded.weights, options)
        return replace(result, device=device, weights=name, warnings=tuple(warnings)), seen

    def load(self, weights: str | None, device: str) -> _LoadedNetwork:
        """Load weights onto a device, unless they are there already."""
        wanted = find_weights(weights)
        loaded = self._loaded
        if loaded is None or (loaded.weights, loaded.device) != (wanted, device):
            from needle_backend.core.folding import fold_batch_norms
            from needle_backend.ct.weights import load_network

            network, inputs = load_network(wanted, device)
            loaded = _LoadedNetwork(wanted, device, fold_batch_norms(network), inputs)
            self._loaded = loaded
        return loaded


def _check_pair_weights(options: LocateOptions, device: str) -> None:
    """Load the network that judges pairs before the long work, for if that cannot be done."""
    from needle_backend.ct.pair_network import load_pair_network

    load_pair_network(options.pair_weights, device)


def _names(weights: WeightsFile, options: LocateOptions) -> str:
    """Name the weights that found the needles: the detector's, and of pairs if not the shipped."""
    if options.pair_weights is None:
        return weights.name
    return f"{weights.name} and {Path(options.pair_weights).stem}"


def _top_hat(array: np.ndarray, device: str, progress: Progress, cancel: CancelToken) -> np.ndarray:
    """Top-hat of a volume, piece by piece, so that a request to cancel is heard."""
    tophat = np.empty_like(array)
    progress("tophat", 0.0)
    for first in range(0, len(array), _TOP_HAT_SLICES):
        cancel.raise_if_cancelled()
        piece = array[first : first + _TOP_HAT_SLICES]
        done = white_top_hat(piece) if device == "cpu" else white_top_hat_on(device, piece)
        tophat[first : first + len(piece)] = done
        progress("tophat", (first + len(piece)) / len(array))
    return tophat


def _thresholds(options: LocateOptions) -> np.ndarray:
    """Return the weakest sight that counts, by class of end."""
    least = np.zeros(2)
    least[TIP], least[HANDLE] = options.tip_threshold, options.handle_threshold
    if not ((least >= 0.0) & (least < 1.0)).all():
        raise InputError(
            f"The thresholds for tips and handles are {options.tip_threshold:g} and "
            f"{options.handle_threshold:g}; give numbers from 0 to less than 1."
        )
    return least


def _detect(
    loaded: _LoadedNetwork,
    array: np.ndarray,
    least: np.ndarray,
    progress: Progress,
    cancel: CancelToken,
    warnings: list[str],
) -> SliceEnds:
    from needle_backend.ct.detect import detect_ends

    seen = detect_ends(
        loaded.network,
        array,
        loaded.inputs,
        progress,
        cancel,
        threshold=float(least.min()),
        warn=warnings.append,
    )
    return seen.take(seen.score > least[seen.kind])


def _reason(error: RuntimeError) -> str:
    """Say in a few words why a GPU failed."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "its memory is full"
    first_line, _, _ = str(error).partition("\n")
    return first_line.rstrip(".") or type(error).__name__


def needles_from_ends(
    seen: SliceEnds,
    volume: Volume,
    tophat: np.ndarray,
    options: LocateOptions,
    cancel: CancelToken,
    device: str = "cpu",
) -> LocateResult:
    """Fuse, score and match detected ends: all that comes after the network.

    Parameters
    ----------
    seen
        Detections on all slices.
    tophat
        White top-hat of the volume.
    device
        Where to sample the volume along the pairs.

    Returns
    -------
    LocateResult
        Without timings, device and weights.
    """
    tips = fuse_over_slices(seen, TIP, volume)
    handles = fuse_over_slices(seen, HANDLE, volume)
    cancel.raise_if_cancelled()
    seen_lps = np.concatenate((tips.points_lps, handles.points_lps))
    near = TopHat.around(seen_lps, tophat, volume, device)
    pairs = score_pairs(tips, handles, near, options)
    cancel.raise_if_cancelled()
    matching = match(pairs, tips, handles, options.count, options.solver)
    assessment = assess(matching, pairs, tips, handles, volume)
    unmatched_tips, unmatched_handles = loose_ends(assessment, pairs, tips, handles)
    cancel.raise_if_cancelled()
    found = len(assessment.needles)
    return LocateResult(
        needles=number_needles(assessment.needles),
        count=NeedleCount(found, estimated=True) if options.count is None else matching.count,
        unmatched_tips=_points(unmatched_tips),
        unmatched_handles=_points(unmatched_handles),
        surplus=assessment.surplus,
        solver=matching.solver,
        gap=matching.gap,
        seen_tips=_points(tips.points_lps),
        seen_handles=_points(handles.points_lps),
    )


def _points(points_lps: np.ndarray) -> tuple[Point, ...]:
    return tuple(as_point(point) for point in points_lps)


class _Clock:
    """Seconds a stage, in the order they ran."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self._stages[stage] = self._stages.get(stage, 0.0) + spent

    def timings_s(self) -> dict[str, float]:
        return {**self._stages, "total": time.perf_counter() - self._started}
