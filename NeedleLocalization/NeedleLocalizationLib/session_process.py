"""The backend process of this Slicer session: started when first needed, ended in one place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from needle_backend.core.errors import InputError
from needle_backend.service.client import BackendClient

_client: BackendClient | None = None


def session_client() -> BackendClient:
    """Return the session's client; its process starts with the first request.

    Raises
    ------
    InputError
        When Slicer's Python interpreter is not found.
    """
    global _client
    if _client is None:
        _client = BackendClient(python=[python_slicer()])
        slicer.app.connect("aboutToQuit()", end_session_process)
    return _client


def end_session_process() -> None:
    """End the process; called when the module is unloaded and when Slicer quits."""
    global _client
    if _client is not None:
        slicer.app.disconnect("aboutToQuit()", end_session_process)
        _client.close()
        _client = None


def python_slicer() -> str:
    """Return the path of PythonSlicer, the interpreter with Slicer's packages and no window."""
    executable = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    installed = Path(slicer.app.slicerHome, "bin", executable)
    found = shutil.which("PythonSlicer") or (str(installed) if installed.is_file() else None)
    if found is None:
        raise InputError(
            _("Slicer's Python interpreter is missing ({path}); install Slicer again.").format(
                path=installed
            )
        )
    return found
