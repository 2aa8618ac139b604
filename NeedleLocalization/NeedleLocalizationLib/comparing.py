"""What a volume's needles are held against, as the volume's node remembers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import slicer
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode

from needle_backend.core.comparison import Comparison, Others, hold_against
from needle_backend.core.errors import InputError
from needle_backend.core.needles import Needle, Point
from needle_backend.core.review_log import ReviewedNeedle, ReviewState
from NeedleLocalizationLib.implant import Implant
from NeedleLocalizationLib.line_sets import lines_of_set, needle_of_line
from NeedleLocalizationLib.needle_nodes import needle_nodes_of, read_record, to_frame_of
from NeedleLocalizationLib.renumbering import taken_over

EARLIER_REFERENCE = "NeedleGuide.earlier"
PLAN_ATTRIBUTE = "NeedleGuide.plan"
REFERENCE_ATTRIBUTE = "NeedleGuide.reference"


@dataclass(frozen=True)
class Counterparts:
    """What one volume's needles are held against.

    Attributes
    ----------
    earlier
        An earlier CT of the same patient; None for none.
    plan, reference
        Names of sets of lines (:mod:`NeedleLocalizationLib.line_sets`); empty for none.
    """

    earlier: vtkMRMLScalarVolumeNode | None = None
    plan: str = ""
    reference: str = ""


def counterparts_of(volume_node: vtkMRMLScalarVolumeNode | None) -> Counterparts:
    """Return what was chosen for a volume; it is saved with the scene."""
    if volume_node is None:
        return Counterparts()
    return Counterparts(
        volume_node.GetNodeReference(EARLIER_REFERENCE),
        volume_node.GetAttribute(PLAN_ATTRIBUTE) or "",
        volume_node.GetAttribute(REFERENCE_ATTRIBUTE) or "",
    )


def choose_counterparts(volume_node: vtkMRMLScalarVolumeNode, chosen: Counterparts) -> None:
    """Remember what a volume's needles are held against."""
    earlier_id = chosen.earlier.GetID() if chosen.earlier is not None else None
    with slicer.util.NodeModify(volume_node):
        volume_node.SetNodeReferenceID(EARLIER_REFERENCE, earlier_id)
        volume_node.SetAttribute(PLAN_ATTRIBUTE, chosen.plan or None)
        volume_node.SetAttribute(REFERENCE_ATTRIBUTE, chosen.reference or None)


def counterpart_nodes(volume_node: vtkMRMLScalarVolumeNode | None) -> list[vtkMRMLMarkupsLineNode]:
    """Return all lines that a volume's needles are held against."""
    chosen = counterparts_of(volume_node)
    sets = [lines_of_set(name, volume_node) for name in (chosen.plan, chosen.reference) if name]
    return [node for nodes in (*sets, _needles_before(chosen)) for node in nodes]


def others_in_world(volume_node: vtkMRMLScalarVolumeNode | None) -> Others:
    """Return what a volume's needles are held against, where it lies in the world now."""
    chosen = counterparts_of(volume_node)

    def needles(nodes: Iterable[vtkMRMLMarkupsLineNode]) -> tuple[Needle, ...]:
        return tuple(map(needle_of_line, nodes))

    return Others(
        plan=needles(lines_of_set(chosen.plan, volume_node) if chosen.plan else ()),
        reference=needles(lines_of_set(chosen.reference, volume_node) if chosen.reference else ()),
        before=needles(_needles_before(chosen)),
    )


def others_in_frame(volume_node: vtkMRMLScalarVolumeNode | None) -> Others:
    """Return the same in the volume's own frame, as its implant is."""
    if volume_node is None:
        return Others()
    local = to_frame_of(volume_node)
    others = others_in_world(volume_node)
    return Others(*(_moved(each, local) for each in (others.plan, others.reference, others.before)))


def compare(
    needles: Sequence[ReviewedNeedle], others: Others
) -> tuple[Comparison, tuple[str, ...]]:
    """Hold needles against others as far as that is possible; return what prevented the rest."""
    try:
        return hold_against(needles, others), ()
    except InputError as error:
        return hold_against(needles, replace(others, before=())), (str(error),)


def with_numbers_of_earlier(volume_node: vtkMRMLScalarVolumeNode, implant: Implant) -> Implant:
    """Return a volume's implant under the numbers and in the colours of the earlier CT's needles.

    Raises
    ------
    InputError
        When two needles of the earlier CT have the same number.
    """
    before = others_in_frame(volume_node).before
    if not before:
        return implant
    records = map(read_record, _needles_before(counterparts_of(volume_node)))
    return taken_over(implant, before, {record.id: record.colour for record in records})


def _needles_before(chosen: Counterparts) -> list[vtkMRMLMarkupsLineNode]:
    nodes = needle_nodes_of(chosen.earlier)
    return [node for node in nodes if read_record(node).state is not ReviewState.rejected]


def _moved(needles: Iterable[Needle], move: Callable[[Point], Point]) -> tuple[Needle, ...]:
    return tuple(
        replace(needle, tip_lps=move(needle.tip_lps), handle_lps=move(needle.handle_lps))
        for needle in needles
    )
