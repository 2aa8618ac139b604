"""The parts of the NeedleLocalization module.

- ``parameters``: what the user chooses, kept in the scene
- ``volume_input``: a volume node as the backend reads it
- ``session_process``: the session's backend process, and its end
- ``in_process_backend``: the same without a process, for stand-ins
- ``polled_backend``: either of them, polled by a timer
- ``localization_run``: one localization, watched with its volume and the scene
- ``logic``: from a volume node to needles in the scene
- ``needle_nodes``: needles as line markups, and back
- ``needle_display``: colours, numbers in the views, jumping to a tip
- ``needle_table``: the table of needles
- ``run_panel``: Apply, Cancel, progress and status
- ``installation``: asks for and installs what the backend needs
- ``self_test``: the module's own test
"""

import importlib.util
import sys
from pathlib import Path

# Installed, the backend lies beside the modules; in a source checkout it is one folder up.
if importlib.util.find_spec("needle_backend") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))
