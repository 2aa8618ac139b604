"""When the backend process counts as hung."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait before the process counts as hung, in seconds.

    Attributes
    ----------
    start_s
        For its hello; silence and lack of progress count from then on.
    silence_s
        For any sign of life while something is asked of it; importing torch from a slow disk can
        hold up even that.
    job_s
        For progress or an answer.
    frame_s
        For an answer while only frames are asked about, once the process is ready.
    cancel_s
        For a cancelled job to stop by itself.
    """

    start_s: float = 30.0
    silence_s: float = 30.0
    job_s: float = 180.0
    frame_s: float = 10.0
    cancel_s: float = 0.25


DEFAULT_PATIENCE = Patience()
