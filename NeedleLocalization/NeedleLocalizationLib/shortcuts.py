"""The panel's keys, in force while the module is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt


class Shortcuts:
    """Makes keys of a window do things between :meth:`enable` and :meth:`disable`."""

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self._actions = actions
        self._shortcuts: list[qt.QShortcut] = []

    def enable(self, window: qt.QWidget) -> None:
        """Let the keys work wherever the window has the focus."""
        self.disable()
        for key, action in self._actions.items():
            shortcut = qt.QShortcut(window)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", action)
            self._shortcuts.append(shortcut)

    def disable(self) -> None:
        """Give the keys back."""
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
