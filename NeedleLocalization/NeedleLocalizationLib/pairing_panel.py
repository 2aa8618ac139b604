"""Offers tips and handles without a partner, to make needles of them by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

from needle_backend.core.needles import Point
from NeedleLocalizationLib.end_nodes import HANDLES, LABELS, TIPS
from NeedleLocalizationLib.implant import Implant


class PairingPanel:
    """Two lists to choose a tip and a handle from; hidden while either would be empty.

    Parameters
    ----------
    on_choose
        Called with the kind and the place of an end that was chosen.
    on_pair
        Called with the places of the tip and the handle to make a needle of.
    """

    def __init__(
        self,
        ui: Any,
        on_choose: Callable[[str, int], None],
        on_pair: Callable[[int, int], None],
    ) -> None:
        self._ui = ui
        tips, handles = ui.loneTipComboBox, ui.loneHandleComboBox
        tips.connect("activated(int)", lambda place: on_choose(TIPS, place))
        handles.connect("activated(int)", lambda place: on_choose(HANDLES, place))
        ui.pairButton.connect(
            "clicked(bool)", lambda: on_pair(tips.currentIndex, handles.currentIndex)
        )

    def fill(self, implant: Implant) -> None:
        """Offer an implant's lone ends."""
        tips, handles = implant.lone_tips_ras, implant.lone_handles_ras
        _fill(self._ui.loneTipComboBox, LABELS[TIPS], tips)
        _fill(self._ui.loneHandleComboBox, LABELS[HANDLES], handles)
        self._ui.pairingCollapsibleButton.visible = bool(tips or handles)
        self._ui.pairButton.enabled = bool(tips and handles)


def _fill(combo: qt.QComboBox, label: str, points: Sequence[Point]) -> None:
    texts = [
        f"{label}{number}  ({r:.0f}, {a:.0f}, {s:.0f})"
        for number, (r, a, s) in enumerate(points, start=1)
    ]
    if texts != [combo.itemText(i) for i in range(combo.count)]:
        combo.clear()
        combo.addItems(texts)
