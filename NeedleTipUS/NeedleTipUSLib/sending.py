"""The tip sent on through OpenIGTLink, by a connector of the extension SlicerOpenIGTLink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer import vtkMRMLNode
from slicer.i18n import tr as _

from NeedleTipUSLib.tip_nodes import tip_node

CONNECTOR = "vtkMRMLIGTLConnectorNode"


class TipSending:
    """Keeps the tip among the nodes that a connector sends, as POINT messages, when they change.

    The point's name is the tip's label. One that is lost stays where it was and is transparent.
    """

    def __init__(self) -> None:
        self._connector: Any = None
        self._node: vtkMRMLNode | None = None

    def use(self, connector: Any) -> None:
        """Send to another connector's peer from now on; None sends to nobody."""
        if connector is not self._connector:
            self.stop()
            self._connector = connector

    def include(self) -> None:
        """Let the scene's tip be sent, which may be another one than before."""
        node = None if self._connector is None else tip_node()
        if node is not self._node:
            self._connector.RegisterOutgoingMRMLNode(node)
            self._node = node

    def stop(self) -> None:
        """Send no more."""
        if self._node is not None:
            self._connector.UnregisterOutgoingMRMLNode(self._node)
        self._connector = self._node = None


def offer_connectors(selector: Any, choose: Callable[[Any], None]) -> None:
    """Let the user choose a connector, or say why there is none to choose."""
    if hasattr(slicer, CONNECTOR):
        selector.nodeTypes = [CONNECTOR]
        selector.connect("currentNodeChanged(vtkMRMLNode*)", choose)
        return
    selector.enabled = False
    selector.noneDisplay = _("needs the extension SlicerOpenIGTLink")
