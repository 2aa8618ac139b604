"""NeedleTipUS: will mark the needle's tip in live ultrasound; so far it says what it will do."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

PURPOSE = _(
    "This module will mark the needle's tip on a live ultrasound image, with its confidence, and "
    "say plainly when it has lost it. It will work on any volume whose image changes: a stream "
    "received through OpenIGTLink, or a recorded sequence being replayed.\n\n"
    "It does nothing yet."
)


class NeedleTipUS(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Needle Tip Ultrasound")
        parent.categories = [translate("qSlicerAbstractCoreModule", "IGT")]
        parent.contributors = ["NeedleGuide contributors"]
        parent.helpText = f"<p>{PURPOSE}</p><p>{_('Research software, not a medical device.')}</p>"
        parent.acknowledgementText = ""


class NeedleTipUSWidget(ScriptedLoadableModuleWidget):
    """The module's panel."""

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.purpose_label = qt.QLabel(PURPOSE)
        self.purpose_label.wordWrap = True
        self.layout.addWidget(self.purpose_label)
        self.layout.addStretch(1)


class NeedleTipUSTest(ScriptedLoadableModuleTest):
    """Opens the module."""

    def test_the_module_says_what_it_will_do(self) -> None:
        module = slicer.modules.needletipus
        self.assertIn("Ultrasound", module.title)
        self.assertIn("does nothing yet", module.helpText)
