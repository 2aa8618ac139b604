"""Widgets that show and change a parameter, as the .ui file names it."""

from __future__ import annotations

from typing import Any

NAME = "SlicerParameterName"
"""The property of a widget that holds its parameter's name."""


def connect_widgets(parameters: Any, ui: Any) -> int:
    """Connect each widget to its parameter; return the tag for ``disconnectGui``.

    ``connectGui`` would do the same, but in some versions of Slicer it keeps the tag to itself, and
    the widgets stay connected after they are gone.
    """
    named = {widget.property(NAME): widget for widget in vars(ui).values()}
    return parameters.connectParametersToGui({name: named[name] for name in named if name})
