"""The buttons with which needles are drawn: added by clicks and laid onto their shafts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from slicer.i18n import tr as _

from needle_backend.core.needles import Point
from NeedleLocalizationLib.completing import ask_fit, ask_handle, without_lone_ends_of
from NeedleLocalizationLib.errors import explain
from NeedleLocalizationLib.implant import Implant, NeedleRecord
from NeedleLocalizationLib.logic import NeedleLocalizationLogic
from NeedleLocalizationLib.parameters import NeedleLocalizationParameters, locate_options
from NeedleLocalizationLib.picture_questions import PictureQuestions
from NeedleLocalizationLib.placing import NeedlePlacing
from NeedleLocalizationLib.review import Review

TWO_ENDS, TIP_ONLY = 2, 1
"""How many clicks add a needle."""


class Do(Protocol):
    """Acts on one needle: what, on which, with which outcome, and who is to be judged anew."""

    def __call__(self, what: str, record: NeedleRecord, implant: Implant, placed: str = "") -> None:
        """Act."""


class DrawingPanel:
    """Adds and moves needles with the picture's help.

    Parameters
    ----------
    ui
        The panel's widgets by name.
    review
        Returns the review of the volume shown, None where there is none.
    do
        Carries out what was drawn.
    say
        Shows a line of status.
    """

    def __init__(
        self,
        ui: Any,
        logic: NeedleLocalizationLogic,
        parameters: NeedleLocalizationParameters,
        questions: PictureQuestions,
        review: Callable[[], Review | None],
        do: Do,
        say: Callable[[str], None],
    ) -> None:
        self._ui = ui
        self._logic = logic
        self._parameters = parameters
        self._questions = questions
        self._review = review
        self._do = do
        self._say = say
        self._placing = NeedlePlacing(self.show_buttons)

    def add(self) -> None:
        """Await two clicks, tip and hub, or no longer."""
        sentence = _("Click the needle's tip in a view, then the centre of its hub.")
        self._place(TWO_ENDS, sentence, self._add)

    def add_by_tip(self) -> None:
        """Await one click, on a tip, or no longer."""
        sentence = _("Click the needle's tip in a view; its handle is then looked for.")
        self._place(TIP_ONLY, sentence, self._find_handle)

    def cancel(self) -> None:
        """Await no more clicks."""
        self._placing.cancel()

    def snap(self, record: NeedleRecord) -> None:
        """Lay a needle onto the shaft beside it."""
        review = self._review()

        def take(tip_ras: Point, handle_ras: Point) -> None:
            implant = review.implant
            is_as_asked = record.uid in implant and implant[record.uid].ends_ras == record.ends_ras
            if review is self._review() and is_as_asked:
                moved = implant[record.uid].moved(tip_ras, handle_ras)
                self._do(_("snap"), record, implant.with_record(moved), placed=record.uid)
                self._say(_("{needle} lies on its shaft now.").format(needle=record.id))

        if self._picture_can_be_asked():
            options = locate_options(self._parameters)
            if ask_fit(self._questions, review, record.uid, options, take):
                self._say(_("Looking for the shaft of {needle}…").format(needle=record.id))

    def show_buttons(self) -> None:
        """Offer what can be done now."""
        for button, clicks, text in (
            (self._ui.addButton, TWO_ENDS, _("Add")),
            (self._ui.addByTipButton, TIP_ONLY, _("Add by tip")),
        ):
            button.enabled = self._review() is not None
            button.text = _("Stop adding") if self._placing.awaited == clicks else text

    def _place(self, clicks: int, sentence: str, on_placed: Callable[..., None]) -> None:
        review = self._review()
        if review is None:
            return
        if self._placing.awaited:
            self._placing.cancel()
        else:
            self._placing.start(review.volume_node, clicks, on_placed)
            self._say(sentence)
        self.show_buttons()

    def _add(self, tip_ras: Point, handle_ras: Point) -> None:
        if review := self._review():
            implant, uid = review.implant.with_needle(tip_ras, handle_ras)
            self._do(_("add"), implant[uid], implant, placed=uid)

    def _find_handle(self, tip_ras: Point) -> None:
        review = self._review()

        def take(tip_ras: Point, handle_ras: Point) -> None:
            if review is self._review():
                implant, uid = review.implant.with_needle(tip_ras, handle_ras)
                self._do(_("add"), implant[uid], without_lone_ends_of(implant, uid), placed=uid)
                self._say(_("{needle} was added.").format(needle=implant[uid].id))

        if review is not None and self._picture_can_be_asked():
            options = locate_options(self._parameters)
            if ask_handle(self._questions, review, tip_ras, options, take):
                self._say(_("Looking for the handle…"))

    def _picture_can_be_asked(self) -> bool:
        try:
            self._logic.require_packages()
        except Exception as error:
            self._say(explain(error))
            return False
        return True
