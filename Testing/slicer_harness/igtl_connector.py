"""A stand-in for SlicerOpenIGTLink's connector, which sends point markups as its sources say.

A registered point markup is sent as a POINT message whenever its points change: every point, placed
or not, by its label, with the display's colour, and opaque where it is visible.
"""

from __future__ import annotations

from typing import Any

import pyigtl
import slicer


class IGTLConnector(slicer.vtkMRMLTextNode):
    """A server for one client; the class that it extends only makes it a node of the scene."""

    def start(self, port: int) -> None:
        """Wait for a client at a port of this machine."""
        self.server = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
        self.tags: dict[Any, int] = {}

    def stop(self) -> None:
        """Close the connection."""
        self.server.stop()

    def RegisterOutgoingMRMLNode(self, node: Any) -> int:
        self.tags[node] = node.AddObserver(node.PointModifiedEvent, self._send)
        return 1

    def UnregisterOutgoingMRMLNode(self, node: Any) -> None:
        node.RemoveObserver(self.tags.pop(node))

    def _send(self, node: Any, event: str) -> None:
        if not self.server.is_connected():
            return
        points = range(node.GetNumberOfControlPoints())
        colour = [round(255 * part) for part in node.GetDisplayNode().GetSelectedColor()]
        opacity = [255 * node.GetNthControlPointVisibility(point) for point in points]
        message = pyigtl.PointMessage(
            positions=[list(node.GetNthControlPointPosition(point)) for point in points],
            names=[node.GetNthControlPointLabel(point) for point in points],
            rgba_colors=[[*colour, each] for each in opacity],
            device_name=node.GetName(),
        )
        self.server.send_message(message, wait=False)
