"""The parts of the NeedleLocalization module.

- ``parameters``: what the user chooses, kept in the scene; ``parameter_widgets``: its widgets
- ``volume_input``: a volume node as the backend reads it
- ``session_process``: the session's backend process, and its end
- ``in_process_backend``: the same without a process, for stand-ins
- ``polled_backend``: either of them, polled by a timer
- ``localization_run``: one localization, watched with its volume and the scene
- ``logic``: from a volume node to needles in the scene
- ``implant``: all needles of a volume as one value, and what a reviewer does to them
- ``history``: undo and redo of implants
- ``judging``: what to doubt about a needle that a person placed
- ``summary``: what the needles amount to, and what is open about them
- ``needle_nodes``, ``end_nodes``, ``folders``: an implant in the scene, and back;
  ``detection_nodes``: all ends a run saw; ``point_lists``: what these and lone ends are made of
- ``line_sets``: folders of lines to hold needles against; ``comparing``: which of them, and which
  earlier CT, a volume's needles are held against; ``renumbering``: numbers taken over from that CT
- ``following``: needles stay with a volume that is moved
- ``review``: scene and history of one volume, kept the same
- ``picture_questions``: what is asked about a volume's picture; ``rescoring`` asks for the scores
  of needles that a person places, ``completing`` for what is missing of them
- ``needle_observer``, ``placing``: what the user does in the views
- ``needle_display``, ``slice_views``: how needles look, and where the views look;
  ``skin_surface``: the skin in 3D; ``other_volumes``: what is seen of other volumes' needles
- ``advanced_panel``: how needles are found, for those who want to know
- ``run_panel``: Apply, Cancel, progress and status
- ``review_panel``: buttons and keys; ``needle_table``, ``needle_views``, ``pairing_panel``,
  ``drawing_panel``, ``comparison_panel`` and ``shortcuts`` are its parts
- ``comparison_notes``: what the table says of needles held against others
- ``dicom_place``: needles where other systems see them
- ``export_files``: needles as files; ``export_panel``: the button for it
- ``installation``: asks for and installs what the backend needs
- ``sample_data``: the sample CT, offered by ``sample_source``; ``self_test``: the module's own test
"""

import importlib.util
import sys
from pathlib import Path

# Installed, the backend lies beside the modules; in a source checkout it is one folder up.
if importlib.util.find_spec("needle_backend") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))
