"""What the user chooses, as a typed parameter node that is saved with the scene."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from needle_backend.core.needles import LocateOptions
from needle_backend.core.quality import QualityLimits
from needle_backend.ct.solvers import SOLVERS

AUTOMATIC_COUNT = 0
"""The needle count that means: estimate it."""
METHODS = [LocateOptions.method, "classical"]


@parameterNodeWrapper
class NeedleLocalizationParameters:
    """The module's parameters.

    needle_count 0 means that the number is estimated, empty weights mean the shipped ones.
    """

    volume: vtkMRMLScalarVolumeNode
    needle_count: Annotated[int, WithinRange(AUTOMATIC_COUNT, 200)] = AUTOMATIC_COUNT
    length_mm: Annotated[float, WithinRange(20.0, 400.0)] = LocateOptions.length_mm
    length_tolerance_mm: Annotated[float, WithinRange(1.0, 200.0)] = (
        LocateOptions.length_tolerance_mm
    )
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = LocateOptions.device
    method: Annotated[str, Choice(METHODS)] = LocateOptions.method
    solver: Annotated[str, Choice(list(SOLVERS))] = LocateOptions.solver
    tip_threshold: Annotated[float, WithinRange(0.01, 0.99)] = LocateOptions.tip_threshold
    handle_threshold: Annotated[float, WithinRange(0.01, 0.99)] = LocateOptions.handle_threshold
    weights: str = ""
    pair_weights: str = ""
    numbers_visible: bool = True
    ends_visible: bool = False
    detections_visible: bool = False
    skin_visible: bool = False
    others_visible: bool = False


def locate_options(parameters: NeedleLocalizationParameters) -> LocateOptions:
    """Return the backend's options for the parameters chosen."""
    count = parameters.needle_count
    return LocateOptions(
        count=None if count == AUTOMATIC_COUNT else count,
        length_mm=parameters.length_mm,
        length_tolerance_mm=parameters.length_tolerance_mm,
        device=parameters.device,
        solver=parameters.solver,
        weights=parameters.weights.strip() or None,
        pair_weights=parameters.pair_weights.strip() or None,
        tip_threshold=parameters.tip_threshold,
        handle_threshold=parameters.handle_threshold,
        method=parameters.method,
    )


def quality_limits(parameters: NeedleLocalizationParameters) -> QualityLimits:
    """Return what needles are held against."""
    options = locate_options(parameters)
    return QualityLimits(
        count=options.count,
        length_mm=options.length_mm,
        length_tolerance_mm=options.length_tolerance_mm,
    )
