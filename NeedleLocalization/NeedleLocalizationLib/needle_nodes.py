"""An implant in the scene: a folder beside its volume, a line markup for each needle.

A needle's node keeps what was found out about it as attributes, which scenes and MRB files store,
and in the tip's description, which markup files store too. The node's own description would not do:
Slicer overwrites it with the line's measurements.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace

import slicer
import vtk
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode

from needle_backend.core.errors import InputError
from needle_backend.core.markups import describe
from needle_backend.core.needles import LocateResult, Needle, Point, as_point
from needle_backend.core.review_log import ReviewLog
from NeedleLocalizationLib.end_nodes import read_lone_ends, write_lone_ends
from NeedleLocalizationLib.folders import move_to_folder, remove_with_companions
from NeedleLocalizationLib.implant import (
    Implant,
    NeedleRecord,
    by_number,
    implant_of,
    new_uid,
    swap_lps_ras,
)
from NeedleLocalizationLib.needle_display import dress_needle

TIP, HANDLE = 0, 1
"""The control points of a needle's line, in order."""

UID_ATTRIBUTE = "NeedleGuide.uid"
SCORE_ATTRIBUTE = "NeedleGuide.score"
CONFIDENCE_ATTRIBUTE = "NeedleGuide.confidence"
DOUBTS_ATTRIBUTE = "NeedleGuide.doubts"
LOG_ATTRIBUTE = "NeedleGuide.log"
VOLUME_REFERENCE = "NeedleGuide.volume"


def write_implant(volume_node: vtkMRMLScalarVolumeNode, implant: Implant) -> None:
    """Make the scene hold this implant of a volume; touches only what differs."""
    nodes = {node.GetAttribute(UID_ATTRIBUTE): node for node in needle_nodes_of(volume_node)}
    with slicer.util.RenderBlocker():
        for uid, node in nodes.items():
            if uid not in implant:
                remove_with_companions(node)
        for record in implant.needles:
            node = nodes.get(record.uid)
            if node is None:
                _write_record(_add_node(record, volume_node), record)
            elif read_record(node) != record:
                _write_record(node, record)
        _lock_all_but_the_edited(volume_node)
        write_lone_ends(volume_node, implant.lone_tips_ras, implant.lone_handles_ras)


def read_implant(volume_node: vtkMRMLScalarVolumeNode | None) -> Implant:
    """Return what the scene holds of a volume; lines that lack an end are left out."""
    if volume_node is None:
        return Implant()
    records = sorted(map(read_record, needle_nodes_of(volume_node)), key=by_number)
    return Implant(tuple(records), *read_lone_ends(volume_node))


def needle_nodes_of(volume_node: vtkMRMLScalarVolumeNode | None) -> list[vtkMRMLMarkupsLineNode]:
    """Return the needles of a volume that are in the scene, by number; none for no volume."""
    if volume_node is None:
        return []
    known: set[str] = set()
    complete = [
        node
        for node in _lines_of(volume_node.GetID())
        if node.GetNumberOfDefinedControlPoints() == 2
    ]
    for node in complete:
        if node.GetAttribute(UID_ATTRIBUTE) in (None, *known):  # a copy made in Slicer
            node.SetAttribute(UID_ATTRIBUTE, new_uid())
        known.add(node.GetAttribute(UID_ATTRIBUTE))
    return sorted(complete, key=lambda node: (node.GetName(), node.GetAttribute(UID_ATTRIBUTE)))


def needle_node(
    volume_node: vtkMRMLScalarVolumeNode | None, uid: str | None
) -> vtkMRMLMarkupsLineNode | None:
    """Return the node of one needle, None where there is none."""
    nodes = needle_nodes_of(volume_node)
    return next((node for node in nodes if node.GetAttribute(UID_ATTRIBUTE) == uid), None)


def needle_from_node(node: vtkMRMLMarkupsLineNode) -> Needle:
    """Return the needle that a line stands for, where it lies in the world now."""
    tip_lps, handle_lps = map(swap_lps_ras, world_ends_ras(node))
    return replace(read_record(node).needle, tip_lps=tip_lps, handle_lps=handle_lps)


def world_ends_ras(node: vtkMRMLMarkupsLineNode) -> tuple[Point, Point]:
    """Return a line's tip and handle, where they lie in the world now."""
    tip, handle = (as_point(node.GetNthControlPointPositionWorld(i)) for i in (TIP, HANDLE))
    return tip, handle


def to_frame_of(volume_node: vtkMRMLScalarVolumeNode) -> Callable[[Point], Point]:
    """Return what turns a point of the world, LPS mm, into one of the volume's own frame."""
    to_local = vtk.vtkGeneralTransform()  # also where a transform is not linear
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        None, volume_node.GetParentTransformNode(), to_local
    )

    def local(point_lps: Point) -> Point:
        return swap_lps_ras(as_point(to_local.TransformPoint(swap_lps_ras(point_lps))))

    return local


def implant_of_result(volume_node: vtkMRMLScalarVolumeNode, result: LocateResult) -> Implant:
    """Return the implant that a run found, in the volume's own frame."""
    local = to_frame_of(volume_node)
    needles = (
        replace(needle, tip_lps=local(needle.tip_lps), handle_lps=local(needle.handle_lps))
        for needle in result.needles
    )
    return implant_of(
        replace(
            result,
            needles=tuple(needles),
            unmatched_tips=tuple(map(local, result.unmatched_tips)),
            unmatched_handles=tuple(map(local, result.unmatched_handles)),
        )
    )


def _lines_of(volume_id: str) -> list[vtkMRMLMarkupsLineNode]:
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        if node.GetNodeReferenceID(VOLUME_REFERENCE) == volume_id
    ]


def _add_node(record: NeedleRecord, volume_node: vtkMRMLScalarVolumeNode) -> vtkMRMLMarkupsLineNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", record.id)
    with slicer.util.NodeModify(node):
        node.SetNodeReferenceID(VOLUME_REFERENCE, volume_node.GetID())
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        node.AddControlPoint(record.tip_ras, "T")
        node.AddControlPoint(record.handle_ras, "H")
        node.SetFixedNumberOfControlPoints(True)
        node.GetMeasurement("length").SetEnabled(False)
        node.SetAttribute(UID_ATTRIBUTE, record.uid)
    move_to_folder(node, volume_node)
    return node


def _lock_all_but_the_edited(volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Lock whole nodes while one is edited; else only their points, so that they can be clicked."""
    nodes = needle_nodes_of(volume_node)
    is_one_edited = not all(node.GetNthControlPointLocked(TIP) for node in nodes)
    for node in nodes:
        node.SetLocked(is_one_edited and bool(node.GetNthControlPointLocked(TIP)))


def _write_record(node: vtkMRMLMarkupsLineNode, record: NeedleRecord) -> None:
    with slicer.util.NodeModify(node):
        node.SetName(record.id)
        for point, position in zip((TIP, HANDLE), record.ends_ras, strict=True):
            node.SetNthControlPointPosition(point, *position)
            node.SetNthControlPointLocked(point, not record.editable)
        node.SetNthControlPointDescription(TIP, describe(record.needle, record.log))
        node.SetAttribute(SCORE_ATTRIBUTE, repr(record.score))
        confidence = record.confidence
        node.SetAttribute(CONFIDENCE_ATTRIBUTE, None if confidence is None else repr(confidence))
        node.SetAttribute(DOUBTS_ATTRIBUTE, json.dumps(record.doubts, ensure_ascii=False))
        node.SetAttribute(LOG_ATTRIBUTE, record.log.to_json())
    dress_needle(node, record)


def read_record(node: vtkMRMLMarkupsLineNode) -> NeedleRecord:
    """Return what a line says of its needle."""
    confidence = node.GetAttribute(CONFIDENCE_ATTRIBUTE)
    display = node.GetDisplayNode()
    return NeedleRecord(
        uid=node.GetAttribute(UID_ATTRIBUTE),
        id=node.GetName(),
        tip_ras=as_point(node.GetNthControlPointPosition(TIP)),
        handle_ras=as_point(node.GetNthControlPointPosition(HANDLE)),
        score=float(node.GetAttribute(SCORE_ATTRIBUTE) or 0.0),
        confidence=None if confidence is None else float(confidence),
        doubts=tuple(json.loads(node.GetAttribute(DOUBTS_ATTRIBUTE) or "[]")),
        log=_read_log(node),
        colour=as_point(display.GetSelectedColor()),
        visible=bool(display.GetVisibility()),
        editable=not node.GetNthControlPointLocked(TIP),
    )


def _read_log(node: vtkMRMLMarkupsLineNode) -> ReviewLog:
    try:
        return ReviewLog.from_json(node.GetAttribute(LOG_ATTRIBUTE))
    except InputError as error:
        logging.warning("%s: %s", node.GetName(), error)
        return ReviewLog()
