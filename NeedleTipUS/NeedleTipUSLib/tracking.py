"""From Start to Stop: the images of a stream go to the finder, its answers become sightings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import qt
from slicer import vtkMRMLVolumeNode
from slicer.i18n import tr as _

from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.service.job import FrameDropped, Job
from needle_backend.us.tips import DETECTED, LOST, FrameAnswer, Tip, TrackOptions
from needle_backend.us.track import ASSOCIATION_OF, FAINT_SHARE, Tracker
from NeedleTipUSLib.live_statistics import LiveStatistics
from NeedleTipUSLib.recording import index_value_of
from NeedleTipUSLib.sighting import Sighting
from NeedleTipUSLib.stream_image import SMALLEST_PX, StreamImage, StreamReader
from NeedleTipUSLib.stream_watch import StreamWatch
from NeedleTipUSLib.tip_finder import TipFinder

Rect = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie just outside."""

CHECK_INTERVAL_MS = 250
STALLED_S = 1.0
MOST_FAILURES = 3
"""So many failures of the backend in a row end the tracking."""


@dataclass(frozen=True)
class TrackingSettings:
    """How a stream is looked at.

    Attributes
    ----------
    options
        For the backend.
    association
        Whether one tip is followed from image to image.
    orientation
        One of ``ORIENTATIONS``.
    region
        None means that it is found automatically.
    budget_s
        An answer that comes later is not shown once there is a newer image.
    """

    options: TrackOptions = field(default_factory=TrackOptions)
    association: bool = True
    orientation: str = "as received"
    region: Rect | None = None
    budget_s: float = 0.5

    def asked_of_the_backend(self) -> TrackOptions:
        """Return the options, fainter tips included where one is followed."""
        return replace(self.options, faint_share=FAINT_SHARE) if self.association else self.options


@dataclass(frozen=True)
class Listener:
    """Who is told what happens, on the window's own thread.

    Attributes
    ----------
    on_sighting
        With each answer.
    on_lost
        When nothing can be said of the tip, since images stay away or cannot be used.
    on_notice
        With a sentence about the stream or the backend, empty when all is well.
    on_region
        With an image and the region that is looked at in it, when either has changed.
    on_end
        With the reason when tracking ended by itself.
    """

    on_sighting: Callable[[Sighting], None]
    on_lost: Callable[[], None]
    on_notice: Callable[[str], None]
    on_region: Callable[[StreamImage, Rect], None]
    on_end: Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """A frame that the backend was asked about."""

    number: int
    arrived_s: float
    image: StreamImage
    region: Rect
    index_value: str | None


class Tracking:
    """Looks for the tip in a stream until it is stopped.

    Attributes
    ----------
    node
        The stream.
    statistics
        Of what happened so far.
    """

    def __init__(
        self,
        node: vtkMRMLVolumeNode,
        finder: TipFinder,
        settings: TrackingSettings,
        listener: Listener,
    ) -> None:
        self.node = node
        self.statistics = LiveStatistics()
        self._finder = finder
        self._settings = settings
        self._listener = listener
        self._reader = StreamReader()
        self._watch = StreamWatch(node, self._on_image, self._end)
        self._is_running = False
        self._number = 0
        self._region: Rect | None = None
        self._image: StreamImage | None = None
        self._tracker: Tracker | None = None
        self._failures = 0
        self._arrived_s: float | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(CHECK_INTERVAL_MS)
        self._timer.connect("timeout()", self._check)

    def start(self) -> None:
        """Begin with the image that is there."""
        self._is_running = True
        self._started_s = time.monotonic()
        self._watch.start()
        self._timer.start()

    def stop(self) -> None:
        """Look no further; answers still to come are not heard."""
        self._is_running = False
        self._timer.stop()
        self._watch.stop()
        self._finder.stop()

    def use(self, settings: TrackingSettings) -> None:
        """Look at the next images this way."""
        if settings == self._settings:
            return
        looks_elsewhere = (settings.orientation, settings.region) != (
            self._settings.orientation,
            self._settings.region,
        )
        self._settings = settings
        self._tracker = None
        if looks_elsewhere:
            self._region = None

    def find_region_again(self) -> None:
        """Look for the imaging region in the next image, if it is found automatically."""
        self._region = None

    # Images

    def _on_image(self, arrived_s: float) -> None:
        self._arrived_s = arrived_s
        self.statistics.image_arrived()
        try:
            image = self._reader.read(self.node, self._settings.orientation)
            self._choose_region(image)
            self._ask(image, arrived_s)
        except InputError as error:
            self._lose(str(error))
        except BackendError as error:
            self._fail(str(error))

    def _choose_region(self, image: StreamImage) -> None:
        """Choose where to look, anew when the images have changed their size."""
        is_same_size = self._image is not None and self._image.size == image.size
        self._image = image
        if is_same_size and self._region is not None:
            return
        self._tracker = None
        self._region = fitting_region(self._settings.region, image)
        self._listener.on_region(image, self._region)

    def _ask(self, image: StreamImage, arrived_s: float) -> None:
        left, top, right, bottom = self._region
        index_value = index_value_of(self.node)
        asked = Asked(self._number, arrived_s, image, self._region, index_value)
        self._number += 1
        self._finder.ask(
            image.grey[top:bottom, left:right],
            asked.number,
            arrived_s - self._started_s,
            lambda job: self._on_answer(job, asked),
            self._settings.asked_of_the_backend(),
        )

    # Answers

    def _on_answer(self, job: Job, asked: Asked) -> None:
        if not self._is_running:
            return
        try:
            answer = FrameAnswer.from_dict(job.result())
        except FrameDropped:
            self.statistics.image_dropped()
        except InputError as error:
            self._end(str(error))
        except (BackendError, Cancelled) as error:
            self._fail(str(error))
        else:
            self._failures = 0
            self._take(answer, asked, job.result())

    def _take(self, answer: FrameAnswer, asked: Asked, found_with: Mapping[str, Any]) -> None:
        if self._is_too_late(asked):
            self.statistics.image_dropped()
            notice = _("Answers take longer than {budget:.0f} ms; such old ones are not shown.")
            self._lose(notice.format(budget=1000 * self._settings.budget_s))
            return
        self._listener.on_sighting(self._sighting(answer, asked, found_with["threshold"]))
        latency_s = time.monotonic() - asked.arrived_s
        self.statistics.marker_moved(latency_s, found_with["answered_as"])
        self._listener.on_notice(" ".join([*doubts_of(asked.image), *found_with["warnings"]]))

    def _is_too_late(self, asked: Asked) -> bool:
        is_newest = asked.number == self._number - 1
        return not is_newest and time.monotonic() - asked.arrived_s > self._settings.budget_s

    def _sighting(self, answer: FrameAnswer, asked: Asked, threshold: float) -> Sighting:
        tip = in_image(answer.tip, asked.region)
        time_s = asked.arrived_s - self._started_s
        if not self._settings.association:
            state = LOST if tip is None else DETECTED
            known = FrameAnswer(asked.number, time_s, state, tip)
        else:
            if self._tracker is None:
                association = ASSOCIATION_OF[self._settings.options.model]
                self._tracker = Tracker(asked.image.size, threshold, association)
            known = self._tracker.follow(asked.number, time_s, tip)
        return Sighting(known, asked.image, asked.index_value)

    def _lose(self, notice: str) -> None:
        """Tell that nothing is known of the tip now, and why."""
        self._tracker = None
        self._listener.on_lost()
        self._listener.on_notice(notice)

    def _fail(self, notice: str) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._end(notice)
        else:
            self._lose(notice)

    def _check(self) -> None:
        """Tell when images stay away, and show a tip no longer that nobody sees."""
        now_s = time.monotonic()
        since_s = now_s - (self._started_s if self._arrived_s is None else self._arrived_s)
        if since_s > STALLED_S:
            self._lose(_("No new image for {seconds:.0f} s.").format(seconds=since_s))

    def _end(self, reason: str) -> None:
        self.stop()
        self._listener.on_end(reason)


def fitting_region(wanted: Rect | None, image: StreamImage) -> Rect:
    """Return the region wanted, cut to the image; the one found where none is, or it is too small.

    Finding it needs OpenCV, which is left unimported until then.
    """
    columns, rows = image.size
    if wanted is not None:
        left, top, right, bottom = wanted
        cut = max(left, 0), max(top, 0), min(right, columns), min(bottom, rows)
        if min(cut[2] - cut[0], cut[3] - cut[1]) >= SMALLEST_PX:
            return cut
    from needle_backend.us.sector import find_sector

    found = find_sector(image.grey).rect
    is_usable = min(found[2] - found[0], found[3] - found[1]) >= SMALLEST_PX
    return found if is_usable else (0, 0, columns, rows)


def doubts_of(image: StreamImage) -> tuple[str, ...]:
    """Return what the user should know of an image."""
    colours = _("Colours in the image turn grey and may be taken for a needle.")
    return (colours,) if image.is_coloured else ()


def in_image(tip: Tip | None, region: Rect) -> Tip | None:
    """Return a tip of the region in pixels of the image."""
    return None if tip is None else replace(tip, x=tip.x + region[0], y=tip.y + region[1])
