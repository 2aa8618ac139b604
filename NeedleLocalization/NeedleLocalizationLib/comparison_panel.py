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

from needle_backend.core.comparison import Comparison
from NeedleLocalizationLib.comparing import (
    Counterparts,
    compare,
    counterpart_nodes,
    counterparts_of,
    others_in_frame,
)
from NeedleLocalizationLib.errors import explain
from NeedleLocalizationLib.implant import Implant
from NeedleLocalizationLib.line_sets import line_set_names, load_line_set
from NeedleLocalizationLib.needle_nodes import needle_nodes_of

NONE = _("none")


class ComparisonPanel(VTKObservationMixin):
    """Offers earlier CTs and sets of lines, and tells how the needles compare with those chosen.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    on_choose
        Called with what the user chose for the volume shown.
    on_changed
        Called when a line that needles are held against was moved.
    say
        Shows a line of status.
    """

    def __init__(
        self,
        ui: Any,
        on_choose: Callable[[Counterparts], None],
        on_changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._ui = ui
        self._on_choose = on_choose
        self._on_changed = on_changed
        self._say = say
        self._earlier: list[vtkMRMLScalarVolumeNode] = []
        self._sets: list[str] = []
        for combo in (ui.earlierComboBox, ui.planComboBox, ui.referenceComboBox):
            combo.connect("activated(int)", self._choose)
        ui.planFileButton.connect("clicked(bool)", lambda: self._load(ui.planComboBox))
        ui.referenceFileButton.connect("clicked(bool)", lambda: self._load(ui.referenceComboBox))

    def fill(self, volume_node: vtkMRMLScalarVolumeNode | None) -> None:
        """Offer what there is for a volume, and show what was chosen for it."""
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

    def compare(self, volume_node: vtkMRMLScalarVolumeNode | None, implant: Implant) -> Comparison:
        """Hold an implant against what was chosen for its volume, and tell what came of it."""
        comparison, complaints = compare(implant.reviewed, others_in_frame(volume_node))
        self._ui.comparisonLabel.text = "\n".join((*complaints, *comparison.sentences()))
        return comparison

    def forget(self) -> None:
        """Observe nothing any more."""
        self.removeObservers()

    def _watch(self, volume_node: vtkMRMLScalarVolumeNode | None) -> None:
        self.removeObservers()
        for node in counterpart_nodes(volume_node):
            if not self.hasObserver(node, node.PointModifiedEvent, self._on_moved):
                self.addObserver(node, node.PointModifiedEvent, self._on_moved)

    def _on_moved(self, caller: Any, event: str) -> None:
        self._on_changed()

    def _choose(self) -> None:
        earlier = self._ui.earlierComboBox.currentIndex
        self._on_choose(
            Counterparts(
                self._earlier[earlier - 1] if earlier > 0 else None,
                self._set_chosen_in(self._ui.planComboBox),
                self._set_chosen_in(self._ui.referenceComboBox),
            )
        )

    def _set_chosen_in(self, combo: qt.QComboBox) -> str:
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
