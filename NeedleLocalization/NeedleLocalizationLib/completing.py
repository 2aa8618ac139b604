"""What a person began, completed from the picture: a line laid onto its shaft, a tip's handle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import dist

import numpy as np
from slicer import vtkMRMLScalarVolumeNode

from needle_backend.core.needles import LocateOptions, Point, as_point
from NeedleLocalizationLib.implant import SAME_MM, Implant, swap_lps_ras
from NeedleLocalizationLib.needle_nodes import (
    UID_ATTRIBUTE,
    needle_from_node,
    needle_nodes_of,
)
from NeedleLocalizationLib.picture_questions import PictureQuestions
from NeedleLocalizationLib.review import Review

TakeEnds = Callable[[Point, Point], None]
"""Takes tip and handle, RAS mm in the volume's frame."""


def ask_fit(
    questions: PictureQuestions, review: Review, uid: str, options: LocateOptions, take: TakeEnds
) -> bool:
    """Ask for a needle's ends on the shaft beside it; return whether an answer will come."""
    lines_lps = _lines_lps(review.volume_node)
    line_lps = lines_lps.pop(uid)
    return questions.ask(
        review.volume_node,
        lambda backend, sent, on_done: backend.start_fit(
            sent, line_lps, list(lines_lps.values()), options, on_done
        ),
        lambda line: take(*_ends_ras(review.volume_node, line)),
    )


def ask_handle(
    questions: PictureQuestions,
    review: Review,
    tip_ras: Point,
    options: LocateOptions,
    take: TakeEnds,
) -> bool:
    """Ask for the handle of a tip; return whether an answer will come."""
    volume_node = review.volume_node
    others_lps = list(_lines_lps(volume_node).values())
    handles_lps = [_world_lps(volume_node, point) for point in review.implant.lone_handles_ras]
    tip_lps = _world_lps(volume_node, tip_ras)
    return questions.ask(
        volume_node,
        lambda backend, sent, on_done: backend.start_find_handle(
            sent, tip_lps, handles_lps, others_lps, options, on_done
        ),
        lambda line: take(*_ends_ras(volume_node, line)),
    )


def without_lone_ends_of(implant: Implant, uid: str) -> Implant:
    """Return it without those lone ends that are a needle's ends."""
    tip_ras, handle_ras = implant[uid].ends_ras
    return replace(
        implant,
        lone_tips_ras=_far_from(tip_ras, implant.lone_tips_ras),
        lone_handles_ras=_far_from(handle_ras, implant.lone_handles_ras),
    )


def _far_from(end_ras: Point, points_ras: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple(point for point in points_ras if dist(point, end_ras) > SAME_MM)


def _lines_lps(volume_node: vtkMRMLScalarVolumeNode) -> dict[str, np.ndarray]:
    """Return a volume's needles, (2, 3) LPS mm in the world, by uid."""
    lines = {}
    for node in needle_nodes_of(volume_node):
        needle = needle_from_node(node)
        lines[node.GetAttribute(UID_ATTRIBUTE)] = np.array([needle.tip_lps, needle.handle_lps])
    return lines


def _world_lps(volume_node: vtkMRMLScalarVolumeNode, point_ras: Point) -> Point:
    world_ras = [0.0, 0.0, 0.0]
    volume_node.TransformPointToWorld(point_ras, world_ras)
    return swap_lps_ras(world_ras)


def _ends_ras(volume_node: vtkMRMLScalarVolumeNode, line_lps: np.ndarray) -> list[Point]:
    """Return a line's ends, LPS mm in the world, as RAS mm in the volume's frame."""
    ends = []
    for point_lps in line_lps:
        own_ras = [0.0, 0.0, 0.0]
        volume_node.TransformPointFromWorld(swap_lps_ras(point_lps), own_ras)
        ends.append(as_point(own_ras))
    return ends
