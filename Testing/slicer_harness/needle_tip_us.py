"""What the tests of NeedleTipUS share: work that finds bright spots, and what the scene shows."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from needle_backend.core.errors import InputError
from needle_backend.us.tips import TrackOptions
from service.fake_work import FakeWork

SPOT = 255


class SpotWork(FakeWork):
    """Takes a pixel of 255 for the tip, in the backend process; 254 and so on are commands."""

    def track(self, frame: np.ndarray, time_s: float, options: TrackOptions) -> dict[str, Any]:
        brightest = int(frame.max())
        match brightest:
            case 254:
                os.kill(os.getpid(), signal.SIGKILL)
            case 253:
                raise InputError("There are no weights us_yolot; train some.")
            case 252:
                time.sleep(0.6)
        tip = None
        if brightest == SPOT:
            row, column = map(float, np.unravel_index(int(frame.argmax()), frame.shape))
            tip = {"x": column, "y": row, "width": 24.0, "height": 14.0, "confidence": 0.83}
        state = "lost" if tip is None else "detected"
        how = {"threshold": 0.5, "answered_as": "brightness", "warnings": []}
        return {"state": state, "tip": tip, **how}
