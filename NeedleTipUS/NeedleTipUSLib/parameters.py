"""What the user chooses, as a typed parameter node that is saved with the scene."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLNode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from needle_backend.us.tips import TIPDET, YOLOT, TrackOptions
from NeedleTipUSLib.stream_image import ORIENTATIONS
from NeedleTipUSLib.tracking import TrackingSettings

AS_TRAINED = 0.0
"""The threshold that means: the one that the weights' card states."""
LARGEST_PX = 8192


@parameterNodeWrapper
class NeedleTipUSParameters:
    """The module's parameters.

    The region counts where it is not found automatically; empty weights mean the shipped ones.
    Colour and streamed images are scalar volumes too. The connector has no widget of its own name:
    Slicer connects selectors only to classes it can make a node of.
    """

    volume: vtkMRMLScalarVolumeNode
    target: vtkMRMLMarkupsFiducialNode
    orientation: Annotated[str, Choice(list(ORIENTATIONS))] = next(iter(ORIENTATIONS))
    automatic_region: bool = True
    left_px: Annotated[int, WithinRange(0, LARGEST_PX)] = 0
    top_px: Annotated[int, WithinRange(0, LARGEST_PX)] = 0
    right_px: Annotated[int, WithinRange(0, LARGEST_PX)] = 0
    bottom_px: Annotated[int, WithinRange(0, LARGEST_PX)] = 0
    model: Annotated[str, Choice([YOLOT, TIPDET])] = TIPDET
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = TrackOptions.device
    threshold: Annotated[float, WithinRange(AS_TRAINED, 1.0)] = AS_TRAINED
    weights: str = ""
    budget_ms: Annotated[int, WithinRange(50, 10_000)] = 500
    association: bool = True
    trail_visible: bool = True
    region_visible: bool = True
    connector: vtkMRMLNode


def tracking_settings(parameters: NeedleTipUSParameters) -> TrackingSettings:
    """Return how the stream is to be looked at."""
    chosen = (parameters.left_px, parameters.top_px, parameters.right_px, parameters.bottom_px)
    threshold = parameters.threshold
    return TrackingSettings(
        options=TrackOptions(
            weights=parameters.weights.strip() or None,
            device=parameters.device,
            threshold=None if threshold == AS_TRAINED else threshold,
            model=parameters.model,
        ),
        association=parameters.association,
        orientation=parameters.orientation,
        region=None if parameters.automatic_region else chosen,
        budget_s=parameters.budget_ms / 1000,
    )
