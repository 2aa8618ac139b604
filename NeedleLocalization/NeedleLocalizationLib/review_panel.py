"""The needles of the chosen volume in the panel: reviewed, edited, accepted, undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import qt
import slicer
from slicer import vtkMRMLMarkupsLineNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.needles import LocateResult, Point
from NeedleLocalizationLib.comparison_panel import ComparisonPanel
from NeedleLocalizationLib.detection_nodes import show_detections, write_detections
from NeedleLocalizationLib.drawing_panel import DrawingPanel
from NeedleLocalizationLib.end_nodes import show_lone_ends, world_end_ras
from NeedleLocalizationLib.implant import Implant, NeedleRecord
from NeedleLocalizationLib.localization_run import LocalizationRun
from NeedleLocalizationLib.logic import NeedleLocalizationLogic
from NeedleLocalizationLib.needle_display import highlight, show_numbers
from NeedleLocalizationLib.needle_nodes import (
    UID_ATTRIBUTE,
    implant_of_result,
    needle_node,
    needle_nodes_of,
    world_ends_ras,
)
from NeedleLocalizationLib.needle_observer import NeedleObserver
from NeedleLocalizationLib.needle_table import NeedleTable, described
from NeedleLocalizationLib.needle_views import NeedleViews
from NeedleLocalizationLib.other_volumes import show_others
from NeedleLocalizationLib.pairing_panel import PairingPanel
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters, quality_limits
from NeedleLocalizationLib.picture_questions import PictureQuestions
from NeedleLocalizationLib.rescoring import LiveScoring, Rescoring
from NeedleLocalizationLib.review import Review
from NeedleLocalizationLib.shortcuts import Shortcuts
from NeedleLocalizationLib.skin_surface import show_skin
from NeedleLocalizationLib.slice_views import jump_to
from NeedleLocalizationLib.summary import open_questions


class ReviewPanel:
    """Carries out what the user does to needles, and shows what became of them.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    say
        Shows a line of status.
    """

    def __init__(
        self,
        ui: Any,
        logic: NeedleLocalizationLogic,
        parameters: NeedleLocalizationParameters,
        say: Callable[[str], None],
    ) -> None:
        self._ui = ui
        self._parameters = parameters
        self._say = say
        self._reviews: dict[str, Review] = {}
        self._review: Review | None = None
        self._is_open = False
        self.table = NeedleTable(ui.needleTable, self._on_select, self._on_show, self._on_lock)
        self._views = NeedleViews(ui)
        self._pairing = PairingPanel(ui, self._on_choose_end, self._on_pair)
        self._comparing = ComparisonPanel(
            ui, self.table, lambda: self._review, self._act, self._on_changed, say
        )
        self._observer = NeedleObserver(self._on_changed, self._on_dragged, self._on_clicked)
        self._questions = PictureQuestions(logic.scoring_backend, say)
        self._rescoring = Rescoring(self._questions, self._on_scored)
        self._live = LiveScoring(self._questions, self._show_dragged)
        self._drawing = DrawingPanel(
            ui, logic, parameters, self._questions, lambda: self._review, self._do, say
        )
        self._shortcuts = Shortcuts(self._connect_buttons())
        # Many events come at once; what they changed is looked at once, when they are through.
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._take_over)

    # What the module tells

    @property
    def volume_node(self) -> vtkMRMLScalarVolumeNode | None:
        """The volume whose needles are shown."""
        return self._review and self._review.volume_node

    def show_volume(self, volume_node: vtkMRMLScalarVolumeNode | None) -> None:
        """Show a volume's needles; where they were shown before, what was done can be undone."""
        self._drawing.cancel()
        self._views.follow(None)
        self._review = volume_node and self._review_of(volume_node)
        self._take_over()
        self._refresh()

    def enter_frame(self, volume_node: vtkMRMLScalarVolumeNode, to_frame: np.ndarray) -> None:
        """Go on with the needles of a volume whose frame is another one now."""
        if volume_node.GetID() in self._reviews:
            self._review_of(volume_node).enter_frame(to_frame)
        if volume_node is self.volume_node:
            self.show_volume(volume_node)

    def hand_made_count(self) -> int:
        """Return how many of the needles shown a person accepted, placed or moved."""
        return len(self._review.implant.hand_made) if self._review else 0

    def take_run(self, run: LocalizationRun, result: LocateResult, keep_hand_made: bool) -> None:
        """Put the needles that a run found in place of those its volume had."""
        self._questions.volume_was_sent(run.job, run.volume_input.mark)
        review = self._review_of(run.volume_node)
        found = implant_of_result(run.volume_node, result)
        with self._observer.muted():
            kept = review.implant.hand_made if keep_hand_made else ()
            implant = found.keeping(kept) if kept else found
            numbered = self._comparing.numbered_as_before(run.volume_node, implant)
            review.act(_("find needles"), numbered)
            write_detections(run.volume_node, result)
        self._refresh()

    def show_choices(self) -> None:
        """Show or hide what the user chose to see, and hold the needles against what was given."""
        with self._observer.muted():
            show_numbers(self._observer.nodes, self._parameters.numbers_visible)
        show_lone_ends(self.volume_node, self._parameters.ends_visible)
        show_detections(self.volume_node, self._parameters.detections_visible)
        show_skin(self.volume_node, self._parameters.skin_visible)
        with self._observer.muted():
            show_others(
                self.volume_node, visible=self._parameters.others_visible or not self._is_open
            )
        self._comparing.show(quality_limits(self._parameters))

    def enter(self, window: qt.QWidget) -> None:
        """Let keys work, and look at what changed meanwhile."""
        self._is_open = True
        self._shortcuts.enable(window)
        self.show_choices()
        self._timer.start()

    def exit(self) -> None:
        """Leave keys, mouse and views to others."""
        self._is_open = False
        show_others(None, visible=True)
        self._shortcuts.disable()
        self._drawing.cancel()

    def look_again(self) -> None:
        """See soon whether needles have come or gone."""
        self._timer.start()

    def forget(self) -> None:
        """Forget all needles: the scene was closed or another one loaded into it."""
        self._drawing.cancel()
        self._live.stop()
        self._observer.stop()
        self._views.forget()
        self._comparing.forget()
        self._reviews.clear()
        self._review = None

    def close(self) -> None:
        """Observe and do nothing any more."""
        self.exit()
        self._timer.stop()
        self._views.turn_back()
        self.forget()

    # Buttons and keys

    def _connect_buttons(self) -> dict[str, Callable[[], None]]:
        """Connect each button, and return what its key does."""
        keys: dict[str, Callable[[], None]] = {}
        for name, key, action in (
            ("previous", "P", lambda: self.table.step(-1)),
            ("next", "N", lambda: self.table.step(1)),
            ("accept", "A", self._accept),
            ("reject", "R", self._reject),
            ("acceptAll", None, self._accept_all),
            ("add", "Insert", self._drawing.add),
            ("addByTip", "T", self._drawing.add_by_tip),
            ("edit", "E", self._edit),
            ("snap", "S", self._snap),
            ("swap", None, self._swap),
            ("delete", "Delete", self._delete),
            ("renumber", None, self._renumber),
            ("undo", "Ctrl+Z", self._undo),
            ("redo", "Ctrl+Shift+Z", self._redo),
        ):
            getattr(self._ui, f"{name}Button").connect("clicked(bool)", action)
            if key is not None:
                keys[key] = action
        return {**keys, "L": self._views.toggle_along, "X": self._views.toggle_across}

    def _accept(self) -> None:
        if record := self.table.selected:
            self._do(_("accept"), record, self._review.implant.accepted([record.uid]))
            self.table.step(1)

    def _reject(self) -> None:
        if record := self.table.selected:
            self._do(_("reject"), record, self._review.implant.rejected([record.uid]))
            self.table.step(1)

    def _accept_all(self) -> None:
        if self._review is None:
            return
        undecided, questionable, question = open_questions(
            self._review.implant, quality_limits(self._parameters)
        )
        if questionable and not self._user_accepts(question):
            undecided = [uid for uid in undecided if uid not in questionable]
        self._act(_("accept all"), self._review.implant.accepted(undecided))

    def _user_accepts(self, question: str) -> bool:
        return not slicer.app.testingEnabled() and slicer.util.confirmYesNoDisplay(
            question, windowTitle=_("Needle Localization")
        )

    def _edit(self) -> None:
        if record := self.table.selected:
            self._on_lock(record)

    def _snap(self) -> None:
        if record := self.table.selected:
            self._drawing.snap(record)

    def _swap(self) -> None:
        if record := self.table.selected:
            implant = self._review.implant.swapped(record.uid)
            self._do(_("swap the ends of"), record, implant, placed=record.uid)

    def _delete(self) -> None:
        if record := self.table.selected:
            self._do(_("delete"), record, self._review.implant.without(record.uid))

    def _renumber(self) -> None:
        if self._review is not None:
            self._act(_("renumber"), self._review.implant.renumbered())

    def _undo(self) -> None:
        if self._review is not None:
            self._go(self._review.undo, _("Undone: {what}."))

    def _redo(self) -> None:
        if self._review is not None:
            self._go(self._review.redo, _("Done again: {what}."))

    def _go(self, through_history: Callable[[], str], sentence: str) -> None:
        with self._observer.muted():
            what = through_history()
        if what:
            self._say(sentence.format(what=what))
            self._refresh()

    # The table, the views, and the ends without a partner

    def _on_select(self, record: NeedleRecord) -> None:
        node = needle_node(self.volume_node, record.uid)
        if node is not None:
            self._views.jump(world_ends_ras(node))
        self._show_selection()

    def _on_show(self, record: NeedleRecord) -> None:
        what = _("hide") if record.visible else _("show")
        self._do(what, record, self._review.implant.shown(record.uid, not record.visible))

    def _on_lock(self, record: NeedleRecord) -> None:
        what = _("lock") if record.editable else _("unlock")
        uid = None if record.editable else record.uid
        self._do(what, record, self._review.implant.unlocked(uid))

    def _on_clicked(self, node: vtkMRMLMarkupsLineNode) -> None:
        self.table.select(node.GetAttribute(UID_ATTRIBUTE), silently=True)
        self._views.follow(world_ends_ras(node))
        self._show_selection()

    def _on_dragged(self, node: vtkMRMLMarkupsLineNode) -> None:
        self._live.follow(self._review, node)

    def _on_choose_end(self, kind: str, place: int) -> None:
        jump_to(world_end_ras(self.volume_node, kind, place))

    def _on_pair(self, tip: int, handle: int) -> None:
        implant, uid = self._review.implant.paired(tip, handle)
        self._do(_("pair the ends of"), implant[uid], implant, placed=uid)

    # Doing, and showing what was done

    def _do(self, what: str, record: NeedleRecord, implant: Implant, placed: str = "") -> None:
        """Act on one needle; ``placed`` is the needle to judge anew."""
        self._act(f"{what} {record.id}", implant, [placed] if placed else [])
        if placed:
            self.table.select(placed)

    def _act(self, what: str, implant: Implant, placed: Iterable[str] = ()) -> None:
        with self._observer.muted():
            self._review.act(what, implant, placed)
        self._refresh()
        for uid in placed:
            self._rescoring.ask(self._review, uid)

    def _on_changed(self) -> None:
        self._timer.start()

    def _take_over(self) -> None:
        if self._observer.is_dragging or slicer.mrmlScene.IsBatchProcessing():
            return
        self._live.stop()
        if self._review is None:
            return
        before = self._review.implant
        with self._observer.muted():
            moved = self._review.notice()
        if self._review.implant is before:
            self._comparing.show(quality_limits(self._parameters))
            self._show_selection()
        else:
            self._refresh()
        for uid in moved:
            self._rescoring.ask(self._review, uid)

    def _on_scored(
        self, review: Review, uid: str, ends_ras: tuple[Point, Point], log_odds: float
    ) -> None:
        if not any(review is known for known in self._reviews.values()):
            return  # the scene is another one by now
        if review is self._review:
            self._take_over()  # what was done in the scene meanwhile comes first
        with self._observer.muted():
            review.take_score(uid, ends_ras, log_odds)
        if review is self._review:
            self._refresh()

    def _refresh(self) -> None:
        implant = self._review.implant if self._review else Implant()
        self.table.fill(implant)
        self._pairing.fill(implant)
        self._observer.watch(needle_nodes_of(self.volume_node))
        node = self._selected_node()
        self._views.follow(None if node is None else world_ends_ras(node))
        self.show_choices()
        self._show_selection()

    def _show_selection(self) -> None:
        node = self._selected_node()
        with self._observer.muted():
            highlight(self._observer.nodes, node)
        selected = self.table.selected
        self._ui.needleLabel.text = described(selected, self.table.sentences_of(selected))
        self._show_buttons()

    def _show_dragged(self, record: NeedleRecord) -> None:
        self.table.show_dragged(record)
        self._ui.needleLabel.text = described(record)

    def _show_buttons(self) -> None:
        ui, record = self._ui, self.table.selected
        history = self._review and self._review.history
        undo, redo = (
            history and history.what_undo_takes_back,
            history and history.what_redo_repeats,
        )
        for name in ("accept", "reject", "edit", "snap", "swap", "delete"):
            getattr(ui, f"{name}Button").enabled = record is not None
        for name in ("previous", "next", "acceptAll", "renumber"):
            getattr(ui, f"{name}Button").enabled = bool(self.table.uids)
        ui.editButton.text = _("Lock") if record and record.editable else _("Edit")
        self._drawing.show_buttons()
        ui.undoButton.enabled, ui.redoButton.enabled = bool(undo), bool(redo)
        ui.undoButton.toolTip = _("Undo: {what} (Ctrl+Z)").format(what=undo or "–")
        ui.redoButton.toolTip = _("Redo: {what} (Ctrl+Shift+Z)").format(what=redo or "–")

    def _selected_node(self) -> vtkMRMLMarkupsLineNode | None:
        record = self.table.selected
        return record and needle_node(self.volume_node, record.uid)

    def _review_of(self, volume_node: vtkMRMLScalarVolumeNode) -> Review:
        review = self._reviews.get(volume_node.GetID())
        if review is None or review.volume_node is not volume_node:
            review = self._reviews[volume_node.GetID()] = Review(volume_node)
        return review
