"""Measure the tip on a live stream end to end: frame node modified -> marker moved.

    python Testing/benchmarks/us_live.py --model tipdet --seconds 60
    python Testing/benchmarks/us_live.py --frames 108000 --fps 0

Images of 640 x 480 come into Slicer's scene at a rate of their own, the module sends them to the
backend process, and its answers move the marker. Runs without a window and without rendering.
``--fps 0`` sends the next image as soon as the one before is answered: many in little time; 108,000
are those of an hour at 30 images/s. The images are those of a simulated puncture, forth and back;
each bears a number of its own, so an answer with another one's image would be noticed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING.parent)]

from slicer_harness.boot import boot  # noqa: E402

slicer = boot()

import numpy as np  # noqa: E402
import psutil  # noqa: E402

from needle_backend.bench.timing import machine  # noqa: E402
from needle_backend.us.tips import TIPDET, YOLOT, TrackOptions  # noqa: E402
from needle_backend.us.training.settings import SequenceSettings, SimulationSettings  # noqa: E402
from needle_backend.us.training.simulate import simulate_sequence  # noqa: E402
from slicer_harness.modules import load_module  # noqa: E402

COLUMNS, ROWS = 640, 480
WARM_UP = 60
DIFFERENT = 64
SEED = 1
"""Of a puncture whose tip is seen in every frame, so that every answer moves the marker."""
MEMORY_EVERY = 500
TOLD_EVERY = 10_000


class Stream:
    """Sends numbered images of a puncture into a volume node, and hears what becomes of them."""

    def __init__(self) -> None:
        from NeedleTipUSLib.logic import NeedleTipUSLogic

        puncture = SequenceSettings(DIFFERENT, size=(COLUMNS, ROWS), needle_free_share=0.0)
        frames = simulate_sequence(SimulationSettings(sequence=puncture), SEED).frames
        self._images = np.concatenate([frames, frames[-2:0:-1]])[:, None]
        self.node = slicer.util.addVolumeFromArray(self._images[0], name="Image")
        self.logic = NeedleTipUSLogic()
        self.sent = 0
        self.sent_s: dict[int, float] = {}
        self.latencies_s: list[float] = []
        self.states: Counter[str] = Counter()
        self.strays = 0
        self.notice = ""

    def start(self, settings: Any) -> None:
        """Begin to track."""
        self.logic.start(
            self.node,
            settings,
            on_sighting=self._hear,
            on_notice=self._note,
            on_end=self._note,
        )

    def _note(self, notice: str) -> None:
        self.notice = notice

    def send(self) -> None:
        """Show the next image; its number is written into its first four pixels."""
        image = self._images[self.sent % len(self._images)].copy()
        image[0, 0, :4] = np.frombuffer(np.uint32(self.sent).tobytes(), np.uint8)
        self.sent_s[self.sent] = time.monotonic()
        slicer.util.updateVolumeFromArray(self.node, image)
        self.sent += 1

    def _hear(self, sighting: Any) -> None:
        number = int(np.frombuffer(sighting.image.grey[0, :4].tobytes(), np.uint32)[0])
        sent_s = self.sent_s.pop(number, None)
        if sent_s is None:
            self.strays += 1
            return
        self.latencies_s.append(time.monotonic() - sent_s)
        self.states[sighting.answer.state] += 1
        for overtaken in [each for each in self.sent_s if each < number]:
            del self.sent_s[overtaken]

    @property
    def answered(self) -> int:
        """How many images were answered."""
        return len(self.latencies_s)

    def run(self, frames: int, fps: float, longest_s: float = np.inf) -> dict[str, Any]:
        """Send so many images, for so long at most; return the memory in MB along the way."""
        megabytes = []
        started_s = time.monotonic()
        for number in range(frames):
            if time.monotonic() - started_s > longest_s:
                break
            if fps:
                until(lambda number=number: time.monotonic() >= started_s + number / fps)
                self.send()
            else:
                answered = self.answered
                self.send()
                until(lambda answered=answered: self.answered > answered)
            if number % MEMORY_EVERY == 0:
                megabytes.append(self.memory_mb())
            if number and number % TOLD_EVERY == 0:
                print(f"{number} images, {megabytes[-1]} MB", file=sys.stderr, flush=True)
            if self.logic.tracking is None:
                sys.exit(f"Tracking ended: {self.notice}")
        elapsed_s = time.monotonic() - started_s
        until(lambda: not self.sent_s, timeout_s=2.0)
        return {"seconds": round(elapsed_s, 1), "memory_mb": megabytes + [self.memory_mb()]}

    def memory_mb(self) -> list[int]:
        """Return the memory of the window's process and of the backend's, in MB."""
        from NeedleLocalizationLib.session_process import session_client

        pids = (None, session_client().worker_pid)
        return [psutil.Process(pid).memory_info().rss >> 20 for pid in pids]


def until(condition: Any, timeout_s: float = 120.0) -> None:
    """Let Qt work until a condition holds, without keeping a core busy."""
    deadline_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline_s:
        slicer.app.processEvents()
        time.sleep(0.0005)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=(YOLOT, TIPDET), default=YOLOT)
    parser.add_argument("--weights", default=None, help="the model's default ones else")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--frames", type=int, help="instead of --seconds")
    parser.add_argument("--longest", type=float, default=np.inf, help="end after so many minutes")
    arguments = parser.parse_args()
    frames = arguments.frames or round(arguments.seconds * arguments.fps)
    load_module(TESTING.parent / "NeedleTipUS" / "NeedleTipUS.py")
    facts = machine()
    print(json.dumps(measure(arguments, frames, facts), indent=1))


def measure(arguments: argparse.Namespace, frames: int, facts: dict[str, Any]) -> dict[str, Any]:
    """Warm up, stream, and return what was measured."""
    from NeedleLocalizationLib.session_process import end_session_process
    from NeedleTipUSLib.tracking import TrackingSettings

    options = TrackOptions(
        model=arguments.model, weights=arguments.weights, device=arguments.device
    )
    stream = Stream()
    observers_before = observers(stream.node)
    stream.start(TrackingSettings(options=options))
    stream.run(WARM_UP, 0)
    stream.latencies_s.clear()
    stream.states.clear()
    stream.strays = 0  # the image that was there before the first one sent has no number
    dropped_before = stream.logic.tracking.statistics.dropped
    sent_before = stream.sent
    run = stream.run(frames, arguments.fps, 60 * arguments.longest)
    images = stream.sent - sent_before
    latencies_ms = 1000 * np.array(stream.latencies_s)
    report = {
        "benchmark": "us_live",
        "model": arguments.model,
        "machine": facts,
        "source": {"size": [COLUMNS, ROWS], "fps": arguments.fps, "images": images},
        "answers_a_second": round(stream.answered / run["seconds"], 1),
        "latency_ms": {
            name: round(float(np.percentile(latencies_ms, share)), 1)
            for name, share in (("median", 50), ("p95", 95), ("p99", 99))
        },
        "dropped": stream.logic.tracking.statistics.dropped - dropped_before,
        "answers_with_a_wrong_image": stream.strays,
        "states": dict(stream.states),
        "memory_mb_window_backend": {
            "first": run["memory_mb"][0],
            "median_of_each_quarter": [
                np.median(quarter, axis=0).tolist()
                for quarter in np.array_split(run["memory_mb"], 4)
                if len(quarter)
            ],
            "most": np.max(run["memory_mb"], axis=0).tolist(),
            "last": run["memory_mb"][-1],
        },
        "nodes_in_the_scene_last": slicer.mrmlScene.GetNumberOfNodes(),
        "seconds": run["seconds"],
    }
    stream.logic.stop()
    report["observers_left_after_stop"] = observers(stream.node) - observers_before
    end_session_process()
    return report


def observers(node: Any) -> int:
    """Return how many observers the volume node and the scene have together."""
    return sum(str(each).count("vtkObserver (") for each in (node, slicer.mrmlScene))


if __name__ == "__main__":
    main()
