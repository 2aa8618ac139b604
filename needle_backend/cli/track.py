"""`needles track`: find the needle's tip in every frame of an ultrasound recording."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from needle_backend.cli.outputs import check_outputs
from needle_backend.cli.regions import parse_region
from needle_backend.cli.terminal import progress_bar, warn
from needle_backend.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from needle_backend.us.detect import TipDetector
    from needle_backend.us.frames import Frame, FrameSource
    from needle_backend.us.sector import Sector
    from needle_backend.us.stream import ImageStream
    from needle_backend.us.tipdet import VideoTipDetector
    from needle_backend.us.tips import FrameAnswer, TrackOptions
    from needle_backend.us.track import Tracker

    Hearer = Callable[[Frame, FrameAnswer], None]


class Model(StrEnum):
    """Which network looks for the tip."""

    yolot = "yolot"
    tipdet = "tipdet"


def track(
    input: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A video, a folder of images, an .mha or .nrrd sequence, or DICOM; or a live "
            "stream, igtl://HOST:PORT/DEVICE.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Write a table, one row a frame (.csv).")],
    overlay: Annotated[
        Path | None, typer.Option(help="Write a video with the tip drawn into it (.mp4).")
    ] = None,
    activation: Annotated[
        Path | None,
        typer.Option(help="Write where the network looks in the frame it is surest of (.png)."),
    ] = None,
    model: Annotated[
        Model | None,
        typer.Option(
            help="yolot looks at each frame by itself and is fast; tipdet also at how the needle "
            "moves, and remembers. By default tipdet where frames follow one another; yolot for "
            "one image, and with --no-association, --activation or --weights."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least confidence of a tip; that of the weights' card."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="Frames a second, where the input does not tell."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="End a live stream after so long; until Ctrl-C by default."),
    ] = None,
    igtl_out: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            help="Send each tip on to an OpenIGTLink client at this port, as POINT NeedleTip.",
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="The imaging region; found when not given."),
    ] = None,
    association: Annotated[
        bool,
        typer.Option(
            help="Follow one tip from frame to frame: a detection counts once it is seen again "
            "near by; what never moves is taken for anatomy after 1.5 s; the tip "
            "is predicted for at most 0.5 s. Switch it off for images that do not follow one "
            "another."
        ),
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights: Annotated[
        str | None, typer.Option(help="Weights by name or file; see needles info.")
    ] = None,
) -> None:
    """Find the needle's tip in every frame of an ultrasound recording, or of a live stream."""
    from needle_backend.cli.stream import stream_until_interrupted
    from needle_backend.us.frames import open_frames
    from needle_backend.us.sector import sector_of
    from needle_backend.us.stream import parse_address
    from needle_backend.us.tip_sending import tip_server
    from needle_backend.us.tips import TrackOptions
    from needle_backend.us.track import ASSOCIATION_OF, FAINT_SHARE, Tracker
    from needle_backend.us.track_table import write_tips

    address = parse_address(input)
    files = [] if address is not None else [Path(input)]
    check_outputs(files, [(output, ".csv"), (overlay, ".mp4"), (activation, ".png")])
    if activation is not None and model is Model.tipdet:
        raise InputError("--activation shows where yolot looks; leave --model tipdet out.")
    region = parse_region(crop)
    with ExitStack() as outputs:
        hearers: list[Hearer] = []
        if igtl_out is not None:
            hearers.append(outputs.enter_context(tip_server(igtl_out)))
        if address is None:
            source = open_frames(Path(input), fps)
        else:
            source = outputs.enter_context(stream_until_interrupted(address, seconds))
        sector = sector_of(source, region)
        follows = association and source.count != 1  # one image has none to be seen again in
        faint_share = FAINT_SHARE if follows else 1.0
        if model is None:
            sees_motion = follows and activation is None and weights is None
            model = Model.tipdet if sees_motion else Model.yolot
        options = TrackOptions(weights, device, threshold, model.value, faint_share)
        detector = make_detector(options)
        tracker = None
        if follows:
            tracker = Tracker(source.size, detector.threshold, ASSOCIATION_OF[model.value])
        warn([*_doubts(source, sector, is_live=address is not None), *detector.warnings])
        if overlay is not None:
            hearers.append(outputs.enter_context(_overlay(overlay, source, sector)))
        start = time.perf_counter()
        answers, surest = _look(source, sector, detector, tracker, hearers)
        if activation is not None and surest is not None:
            _write_activation(activation, detector, sector, surest)
        write_tips(output, answers)
    _tell(answers, source.name, detector, time.perf_counter() - start)
    if model is Model.tipdet:
        _tell_ways(detector.ways)
    for path in (output, overlay, activation):
        if path is not None:
            typer.echo(f"Written: {path}")


def make_detector(options: TrackOptions) -> TipDetector | VideoTipDetector:
    """Return what finds the tip in a frame; tests put a stand-in here."""
    from needle_backend.us import live

    return live.make_detector(options)


def _doubts(source: FrameSource | ImageStream, sector: Sector, *, is_live: bool) -> list[str]:
    """Return what the user should know of a recording before relying on its table."""
    from needle_backend.us.frames import ASSUMED_FPS
    from needle_backend.us.sector import colour_warning

    doubts = [colour_warning(source, sector)]
    if source.fps is None and source.count != 1 and not is_live:
        doubts.append(
            f"{source.name} does not tell its frames a second, so times are those of "
            f"{ASSUMED_FPS:g}; give --fps."
        )
    return [doubt for doubt in doubts if doubt is not None]


@contextmanager
def _overlay(path: Path, source: FrameSource | ImageStream, sector: Sector) -> Iterator[Hearer]:
    """Draw answers into a video."""
    from needle_backend.us.frames import ASSUMED_FPS
    from needle_backend.us.overlay import draw_answer, overlay_video

    with overlay_video(path, source.size, source.fps or ASSUMED_FPS) as write:
        yield lambda frame, answer: write(draw_answer(frame.image, answer, sector.rect))


def _look(
    source: FrameSource | ImageStream,
    sector: Sector,
    detector: TipDetector,
    tracker: Tracker | None,
    hearers: Sequence[Hearer],
) -> tuple[list[FrameAnswer], Frame | None]:
    """Look at every frame, and tell as it goes; return the answers and the surest one's frame."""
    from needle_backend.us.recording import find_tips

    answers: list[FrameAnswer] = []
    surest, most_sure = None, -1.0
    with progress_bar({"track": 1.0}) as progress:
        for frame, answer in find_tips(source, sector, detector, tracker):
            answers.append(answer)
            confidence = 0.0 if answer.tip is None else answer.tip.confidence
            if confidence > most_sure:
                surest, most_sure = frame, confidence
            for hear in hearers:
                hear(frame, answer)
            if source.count is not None:
                progress("track", min(1.0, len(answers) / source.count))
    return answers, surest


def _write_activation(path: Path, detector: TipDetector, sector: Sector, frame: Frame) -> None:
    import cv2

    from needle_backend.core.files import written_whole
    from needle_backend.us.activation import activation_map, laid_over

    image = sector.crop(frame.image)
    picture: np.ndarray = laid_over(image, activation_map(detector, image))
    with written_whole(path) as temporary:
        cv2.imwrite(str(temporary), picture)


def _tell(
    answers: Sequence[FrameAnswer], name: str, detector: TipDetector, elapsed_s: float
) -> None:
    """Print in how many frames the tip was found, and how long that took."""
    states = Counter(answer.state for answer in answers)
    predicted = f"predicted in {states['predicted']}, " if states["predicted"] else ""
    frames = "1 frame" if len(answers) == 1 else f"{len(answers)} frames"
    typer.echo(
        f"{frames} of {name}: tip found in {states['detected']}, {predicted}lost in "
        f"{states['lost']} ({len(answers) / elapsed_s:.0f} frames/s on {detector.device} with "
        f"{detector.weights_name})."
    )


def _tell_ways(ways: Mapping[str, int]) -> None:
    """Print how the frames were answered, since TipDet needs to have seen some first."""
    counts = ", ".join(f"{count} by {way}" for way, count in ways.items())
    typer.echo(f"Answered: {counts}.")
