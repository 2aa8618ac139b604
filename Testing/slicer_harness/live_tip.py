"""What tests of NeedleTipUS ask the scene and the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil
import slicer

PREDICTED_S = 3.0
"""How long tests let a tip be predicted."""
SEEN, LOST = "tip seen, 83 %", "TIP LOST"


def tip_ras() -> np.ndarray | None:
    """Return where the scene's tip is; None when it is nowhere."""
    from NeedleTipUSLib.tip_nodes import find_tip_node

    node = find_tip_node()
    if node is None or node.GetNumberOfDefinedControlPoints() == 0:
        return None
    return np.array([*node.GetNthControlPointPositionWorld(0)])


def lines_visible() -> list[str]:
    """Return the names of the lines that some view draws."""
    return [
        node.GetName()
        for node in slicer.util.getNodesByClass("vtkMRMLModelNode")
        if node.GetDisplayNode().GetVisibility()
    ]


def processes() -> list[psutil.Process]:
    """Return the backend processes that are alive."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
        and "needle_backend.service.server" in child.cmdline()
    ]


def is_observed(node: Any) -> bool:
    """Tell whether anything listens to a node or its image."""
    return node.HasObserver("ModifiedEvent") or node.HasObserver(node.ImageDataModifiedEvent)
