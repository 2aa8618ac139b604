"""The parts of the NeedleTipUS module, in the order the data flows.

- ``parameters``: what the user chooses, kept in the scene
- ``stream_watch``: tells of a volume node's new images
- ``stream_image``: an image of the stream as the backend reads it, and where it lies
- ``tip_finder``: asks the backend process about frames, and polls for its answers
- ``tracking``: from Start to Stop: stream -> finder -> association -> sightings
- ``sighting``: what is known of the tip in one frame, in pixels and in the world
- ``live_statistics``: frames a second, latency, drops
- ``tip_nodes``, ``line_drawing``: the tip, its box, its trail and the imaging region in the views
- ``recording``: sightings as a sequence synchronized with the images, and as a table
- ``sending``: the tip to other programs, through OpenIGTLink
- ``logic``: all of it without the panel
- ``live_panel``, ``region_panel``, ``recording_panel``, ``weights_button``: what the panel shows
  and asks
- ``sample_data``: a simulated puncture to try it with
- ``self_test``, ``example_stream``: the module's own test

Packages, the session's backend process and its end are those of NeedleLocalization.
"""

import importlib.util
import sys
from pathlib import Path

# Installed, all lies in one folder; in a source checkout it is elsewhere in the checkout.
_ROOT = Path(__file__).resolve().parents[2]
for _package, _folder in (
    ("needle_backend", _ROOT),
    ("NeedleLocalizationLib", _ROOT / "NeedleLocalization"),
):
    if importlib.util.find_spec(_package) is None:
        sys.path.append(str(_folder))
