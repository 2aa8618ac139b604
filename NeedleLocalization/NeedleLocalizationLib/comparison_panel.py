"""The lists to choose from what needles are held against, and what came of it in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from needle_backend.core.errors import InputError
from needle_backend.core.quality import QualityLimits
from NeedleLocalizationLib.comparing import (
    Counterparts,
    choose_counterparts,
    compare,
    counterpart_nodes,
    counterparts_of,
    others_in_frame,
    with_numbers_of_earlier,
)
from NeedleLocalizationLib.comparison_notes import notes_of
from NeedleLocalizationLib.errors import explain
from NeedleLocalizationLib.implant import Implant
from NeedleLocalizationLib.line_sets import line_set_names, load_line_set
from NeedleLocalizationLib.needle_nodes import needle_nodes_of
from NeedleLocalizationLib.needle_table import NeedleTable
from NeedleLocalizationLib.review import Review
from NeedleLocalizationLib.summary import summary_text

NONE = _("none")


class ComparisonPanel(VTKObservationMixin):
    """Offers earlier CTs and sets of lines, and tells how the needles compare with those chosen.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    table
        Gets a column for each comparison.
    review
        Returns the needles under review, None where there are none.
    act
        Does something to all needles that can be undone, given in words.
    on_changed
        Called when a line that needles are held against was moved.
    say
        Shows a line of status.
    """

    def __init__(
        self,
        ui: Any,
        table: NeedleTable,
        review: Callable[[], Review | None],
        act: Callable[[str, Implant], None],
        on_changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._ui = ui
        self._table = table
        self._review = review
        self._act = act
        self._on_changed = on_changed
        self._say = say
        self._earlier: list[vtkMRMLScalarVolumeNode] = []
        self._sets: list[str] = []
        for combo in (ui.earlierComboBox, ui.planComboBox, ui.referenceComboBox):
            combo.connect("activated(int)", self._choose)
        ui.planFileButton.connect("clicked(bool)", lambda: self._load(ui.planComboBox))
        ui.referenceFileButton.connect("clicked(bool)", lambda: self._load(ui.referenceComboBox))

    def show(self, limits: QualityLimits) -> None:
        """Offer what there is, and show how the needles compare with what was chosen."""
        review = self._review()
        volume_node = review and review.volume_node
        implant = review.implant if review else Implant()
        self._fill(volume_node)
        comparison, complaints = compare(implant.reviewed, others_in_frame(volume_node))
        self._table.annotate(notes_of(implant, comparison))
        self._ui.comparisonLabel.text = "\n".join((*complaints, *comparison.sentences()))
        self._ui.summaryLabel.text = summary_text(implant, limits, comparison.others.plan)

    def numbered_as_before(self, volume_node: vtkMRMLScalarVolumeNode, implant: Implant) -> Implant:
        """Return an implant under the numbers of the earlier CT, where there is one."""
        try:
            return with_numbers_of_earlier(volume_node, implant)
        except InputError as error:
            self._say(str(error))
            return implant

    def forget(self) -> None:
        """Observe nothing any more."""
        self.removeObservers()

    def _fill(self, volume_node: vtkMRMLScalarVolumeNode | None) -> None:
        chosen = counterparts_of(volume_node)
        self._earlier = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node is not volume_node and needle_nodes_of(node)
        ]
        self._sets = line_set_names(volume_node)
        names = [node.GetName() for node in self._earlier]
        place = self._earlier.index(chosen.earlier) + 1 if chosen.earlier in self._earlier else 0
        _fill(self._ui.earlierComboBox, names, place)
        for combo, name in (
            (self._ui.planComboBox, chosen.plan),
            (self._ui.referenceComboBox, chosen.reference),
        ):
            _fill(combo, self._sets, self._sets.index(name) + 1 if name in self._sets else 0)
            combo.enabled = volume_node is not None
        self._ui.earlierComboBox.enabled = volume_node is not None
        for button in (self._ui.planFileButton, self._ui.referenceFileButton):
            button.enabled = volume_node is not None
        self._watch(volume_node)

    def _watch(self, volume_node: vtkMRMLScalarVolumeNode | None) -> None:
        self.removeObservers()
        for node in counterpart_nodes(volume_node):
            if not self.hasObserver(node, node.PointModifiedEvent, self._on_moved):
                self.addObserver(node, node.PointModifiedEvent, self._on_moved)

    def _on_moved(self, caller: Any, event: str) -> None:
        self._on_changed()

    def _choose(self) -> None:
        review = self._review()
        place = self._ui.earlierComboBox.currentIndex
        earlier = self._earlier[place - 1] if place > 0 else None
        is_another = earlier is not counterparts_of(review.volume_node).earlier
        plan, reference = map(self._set_in, (self._ui.planComboBox, self._ui.referenceComboBox))
        choose_counterparts(review.volume_node, Counterparts(earlier, plan, reference))
        before = implant = review.implant
        name = earlier.GetName() if earlier is not None else ""
        if is_another and earlier is not None:
            implant = self.numbered_as_before(review.volume_node, before)
        self._act(_("take over the numbers of {name}").format(name=name), implant)
        if implant != before:
            self._say(_("Numbers and colours were taken over from {name}.").format(name=name))

    def _set_in(self, combo: qt.QComboBox) -> str:
        return self._sets[combo.currentIndex - 1] if combo.currentIndex > 0 else ""

    def _load(self, combo: qt.QComboBox) -> None:
        path = qt.QFileDialog.getOpenFileName(
            combo, _("Lines to compare with"), "", _("Markups (*.mrk.json *.json)")
        )
        if not path:
            return
        try:
            name = load_line_set(Path(path))
        except Exception as error:
            self._say(explain(error))
            return
        self._sets.append(name)
        combo.addItem(name)
        combo.currentIndex = len(self._sets)
        self._choose()


def _fill(combo: qt.QComboBox, names: Sequence[str], place: int) -> None:
    texts = [NONE, *names]
    if texts != [combo.itemText(i) for i in range(combo.count)]:
        combo.clear()
        combo.addItems(texts)
    combo.currentIndex = place
