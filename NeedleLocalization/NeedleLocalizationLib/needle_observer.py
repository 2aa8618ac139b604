"""Tells what happens to needles in the views and elsewhere in Slicer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import slicer
import vtk
from slicer import vtkMRMLMarkupsLineNode

NodeCallback = Callable[[vtkMRMLMarkupsLineNode], None]


class NeedleObserver:
    """Observes a changing set of needles.

    Parameters
    ----------
    on_changed
        Called without arguments when anything about a needle has changed, also while it is dragged.
    on_dragged
        Called with a needle while one of its ends is dragged.
    on_clicked
        Called with a needle that was clicked in a view.
    """

    def __init__(
        self,
        on_changed: Callable[[], None],
        on_dragged: NodeCallback,
        on_clicked: NodeCallback,
    ) -> None:
        self.is_dragging = False
        self._is_muted = False
        self._on_changed = on_changed
        self._on_dragged = on_dragged
        self._on_clicked = on_clicked
        self._tags: dict[vtkMRMLMarkupsLineNode, list[tuple[Any, int]]] = {}

    @property
    def nodes(self) -> list[vtkMRMLMarkupsLineNode]:
        """The needles observed."""
        return list(self._tags)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Say nothing of what the module itself does to needles."""
        self._is_muted = True
        try:
            yield
        finally:
            self._is_muted = False

    def watch(self, nodes: Sequence[vtkMRMLMarkupsLineNode]) -> None:
        """Observe these needles and no others."""
        for node in [node for node in self._tags if node not in nodes]:
            for target, tag in self._tags.pop(node):
                target.RemoveObserver(tag)
        for node in nodes:
            if node not in self._tags:
                self._tags[node] = self._observe(node)

    def stop(self) -> None:
        """Observe nothing any more."""
        self.is_dragging = False
        self.watch(())

    def _observe(self, node: vtkMRMLMarkupsLineNode) -> list[tuple[Any, int]]:
        display = node.GetDisplayNode()

        def drag_start(*_: Any) -> None:
            self.is_dragging = True

        def drag_end(*_: Any) -> None:
            self.is_dragging = False
            self._on_changed()

        def change(*_: Any) -> None:
            if not self._is_muted:
                self._on_changed()

        def move(*_: Any) -> None:
            if self.is_dragging:
                self._on_dragged(node)
            else:
                change()  # a point that moves does not always modify its node

        def click(*_: Any) -> None:
            self._on_clicked(node)

        lines = slicer.vtkMRMLMarkupsNode
        return [
            *(
                (node, node.AddObserver(event, callback))
                for event, callback in (
                    (vtk.vtkCommand.ModifiedEvent, change),
                    (lines.DisplayModifiedEvent, change),
                    (lines.PointModifiedEvent, move),
                    (lines.PointStartInteractionEvent, drag_start),
                    (lines.PointEndInteractionEvent, drag_end),
                )
            ),
            (display, display.AddObserver(display.JumpToPointEvent, click)),
        ]
