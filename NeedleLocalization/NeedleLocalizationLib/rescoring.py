"""How well the picture fits needles that a person placed, moved, or is just dragging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from slicer import vtkMRMLMarkupsLineNode

from needle_backend.core.needles import Point
from NeedleLocalizationLib.implant import NeedleRecord
from NeedleLocalizationLib.judging import judged
from NeedleLocalizationLib.needle_nodes import needle_from_node, needle_node, read_record
from NeedleLocalizationLib.picture_questions import PictureQuestions
from NeedleLocalizationLib.review import Review


class Rescoring:
    """Scores needles that stay where they are now.

    Parameters
    ----------
    on_scored
        Called with the review, a needle's uid, the ends that were scored, and their score.
    """

    def __init__(
        self,
        questions: PictureQuestions,
        on_scored: Callable[[Review, str, tuple[Point, Point], float], None],
    ) -> None:
        self._questions = questions
        self._on_scored = on_scored

    def ask(self, review: Review, uid: str) -> None:
        """Ask for one needle's score."""
        node = needle_node(review.volume_node, uid)
        if node is None:
            return
        ends_ras = review.implant[uid].ends_ras

        def take(log_odds: float) -> None:
            self._on_scored(review, uid, ends_ras, log_odds)

        ask_score(self._questions, review, node, take)


class LiveScoring:
    """Keeps up with a needle that is being dragged: one question at a time, about where it is.

    Parameters
    ----------
    show
        Called with the needle as it is, judged anew, at every move and with every answer.
    """

    def __init__(self, questions: PictureQuestions, show: Callable[[NeedleRecord], None]) -> None:
        self._questions = questions
        self._show = show
        self._dragged: tuple[Review, vtkMRMLMarkupsLineNode] | None = None
        self._asked_about: tuple[Point, Point] | None = None
        self._log_odds: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked_about is not None

    def follow(self, review: Review, node: vtkMRMLMarkupsLineNode) -> None:
        """Judge a needle where it is now, in the middle of a drag."""
        self._dragged = review, node
        self._tell()
        if not self.is_waiting:
            self._ask()

    def stop(self) -> None:
        """The drag has ended; answers that are still to come are not shown."""
        self._dragged = self._asked_about = self._log_odds = None

    def _tell(self) -> None:
        review, node = self._dragged
        record = replace(read_record(node), confidence=None)
        if record.uid in review.implant:
            implant = review.implant.with_record(record)
            self._show(judged(implant, record.uid, self._log_odds)[record.uid])

    def _ask(self) -> None:
        drag = self._dragged
        review, node = drag
        self._asked_about = read_record(node).ends_ras

        def take(log_odds: float) -> None:
            if self._dragged != drag:
                return
            asked_about, self._asked_about = self._asked_about, None
            self._log_odds = log_odds
            self._tell()
            if read_record(node).ends_ras != asked_about:
                self._ask()

        ask_score(self._questions, review, node, take)


def ask_score(
    questions: PictureQuestions,
    review: Review,
    node: vtkMRMLMarkupsLineNode,
    take: Callable[[float], None],
) -> None:
    """Ask how well the picture fits a needle where its line is now, in log-odds."""
    needle = needle_from_node(node)
    lines_lps = np.array([[needle.tip_lps, needle.handle_lps]])
    questions.ask(
        review.volume_node,
        lambda backend, sent, on_done: backend.start_score(sent, lines_lps, on_done),
        lambda scores: take(float(scores[0])),
    )
