"""What went wrong, in words and in a dialog."""

from __future__ import annotations

import logging
import traceback

import slicer
from slicer.i18n import tr as _

from needle_backend.core.errors import BackendError, Cancelled, InputError


def explain(error: Exception) -> str:
    """Return what to tell the user, and open a dialog that says it, unless the user cancelled.

    What nobody foresaw goes with its traceback into the dialog's details and the error log.
    """
    title = _("Needle Localization")
    if isinstance(error, Cancelled):
        return str(error)
    if isinstance(error, InputError | BackendError):
        slicer.util.errorDisplay(str(error), windowTitle=title)
        return str(error)
    message = _("Needle localization failed: {error}").format(error=repr(error))
    details = "".join(traceback.format_exception(error))
    logging.error(details)
    slicer.util.errorDisplay(message, windowTitle=title, detailedText=details)
    return message
