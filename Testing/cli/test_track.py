import csv
import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from us.planted import write_untrained_weights
from us.recordings import COLUMNS, ROWS, grey_frames, write_images, write_sequence, write_video

from needle_backend.us.frames import open_frames
from needle_backend.us.tips import Tip, TrackOptions
from needle_backend.us.track import FAINT_SHARE

WHOLE = f"0,0,{COLUMNS},{ROWS}"


class StandInDetector:
    """Finds the tip in every frame but the second."""

    device, weights_name, warnings = "cpu", "some", ("the GPU is on holiday",)
    threshold = 0.4

    def __init__(self):
        self.images = []
        self.ways = {"TipDet": 4}

    def detect(self, image, time_s):
        self.images.append(image)
        return None if len(self.images) == 2 else Tip(30.0, 20.0, 12.0, 8.0, 0.75)


@pytest.fixture
def detector(monkeypatch):
    """Put a stand-in in the detector's place; it remembers what it was asked with."""
    stand_in = StandInDetector()

    def make(options):
        stand_in.asked = options
        return stand_in

    monkeypatch.setattr("needle_backend.cli.track.make_detector", make)
    return stand_in


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.avi", grey_frames(4), fps=20.0)


def rows_of(table):
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_for_each_frame(needles, detector, video, tmp_path):
    code, out, err = needles(
        *("track", video, "--output", tmp_path / "tips.csv", "--crop", WHOLE, "--no-association")
    )
    assert code == 0
    assert "4 frames" in out and "tip found in 3, lost in 1" in out
    assert err == "Warning: the GPU is on holiday\n"
    rows = rows_of(tmp_path / "tips.csv")
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["time_s"]) for row in rows] == [0.0, 0.05, 0.1, 0.15]
    assert [row["state"] for row in rows] == ["detected", "lost", "detected", "detected"]
    assert (float(rows[0]["x"]), float(rows[0]["confidence"])) == (30.0, 0.75)
    assert (rows[1]["x"], float(rows[1]["confidence"])) == ("", 0.0)


def test_unless_switched_off_a_tip_counts_once_it_was_seen_again(
    needles, detector, video, tmp_path
):
    _, out, _ = needles("track", video, "--output", tmp_path / "tips.csv", "--crop", WHOLE)
    states = [row["state"] for row in rows_of(tmp_path / "tips.csv")]
    assert states == ["lost", "lost", "detected", "detected"]
    assert "tip found in 2, lost in 2" in out


def test_options_reach_the_detector(needles, detector, video, tmp_path):
    needles(
        *("track", video, "--output", tmp_path / "tips.csv", "--device", "cuda:1"),
        *("--threshold", 0.25, "--weights", "mine", "--model", "yolot", "--no-association"),
    )
    assert detector.asked == TrackOptions("mine", "cuda:1", 0.25, "yolot")


def test_with_association_fainter_tips_are_asked_for_too(needles, detector, video, tmp_path):
    needles("track", video, "--output", tmp_path / "tips.csv")
    assert detector.asked == TrackOptions(model="tipdet", faint_share=FAINT_SHARE)


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ((), "tipdet"),
        (("--model", "yolot"), "yolot"),
        (("--no-association",), "yolot"),
        (("--weights", "mine"), "yolot"),
        (("--weights", "mine", "--model", "tipdet"), "tipdet"),
    ],
)
def test_frames_that_follow_one_another_are_tipdets_unless_told_otherwise(
    options, model, needles, detector, video, tmp_path
):
    needles("track", video, "--output", tmp_path / "tips.csv", *options)
    assert detector.asked.model == model


def test_one_image_is_yolots(needles, detector, tmp_path):
    image = write_images(tmp_path / "one", grey_frames(1)) / "frame_0.png"
    needles("track", image, "--output", tmp_path / "tips.csv")
    assert detector.asked.model == "yolot"


def test_activation_is_yolots_only(needles, detector, video, tmp_path):
    code, _, err = needles(
        *("track", video, "--output", tmp_path / "tips.csv", "--model", "tipdet"),
        *("--activation", tmp_path / "where.png"),
    )
    assert (code, "leave --model tipdet out" in err) == (2, True)


def test_an_overlay_shows_every_frame(needles, detector, video, tmp_path):
    code, out, _ = needles(
        *("track", video, "--output", tmp_path / "tips.csv", "--overlay", tmp_path / "out.mp4")
    )
    assert code == 0
    assert str(tmp_path / "out.mp4") in out
    source = open_frames(tmp_path / "out.mp4")
    assert (source.size, source.fps, len(list(source))) == ((COLUMNS, ROWS), 20.0, 4)
    assert source.coloured.any()


@pytest.mark.parametrize("kind", ["images", "mha", "nrrd"])
def test_folders_and_sequences_have_no_rate_of_their_own(needles, detector, tmp_path, kind):
    frames = grey_frames(3)
    if kind == "images":
        path = write_images(tmp_path / "some", frames)
    else:
        path = write_sequence(tmp_path / f"some.{kind}", frames)
    code, _, err = needles("track", path, "--output", tmp_path / "tips.csv", "--fps", 10)
    assert (code, "--fps" in err) == (0, False)
    assert [float(row["time_s"]) for row in rows_of(tmp_path / "tips.csv")] == [0.0, 0.1, 0.2]
    code, _, err = needles("track", path, "--output", tmp_path / "tips.csv")
    assert (code, "does not tell its frames a second" in err) == (0, True)


def test_one_image_is_fine(needles, detector, tmp_path):
    folder = write_images(tmp_path / "some", grey_frames(1))
    code, out, err = needles("track", folder / "frame_0.png", "--output", tmp_path / "tips.csv")
    assert (code, "1 frame of" in out, "--fps" in err) == (0, True, False)


def test_a_given_region_is_looked_at_alone(needles, detector, video, tmp_path):
    needles("track", video, "--output", tmp_path / "tips.csv", "--crop", "4,6,60,46")
    assert {image.shape for image in detector.images} == {(40, 56)}
    row = rows_of(tmp_path / "tips.csv")[3]
    assert (float(row["x"]), float(row["y"])) == (34.0, 26.0)


def test_colours_burnt_into_the_image_are_warned_of(needles, detector, tmp_path):
    frame = np.repeat(np.random.default_rng(1).integers(40, 90, (200, 300, 1), np.uint8), 3, axis=2)
    cv2.line(frame, (40, 60), (250, 150), (0, 255, 255), 3)
    write_images(tmp_path / "some", frame[None])
    code, _, err = needles("track", tmp_path / "some", "--output", tmp_path / "tips.csv")
    assert code == 0
    assert "may be taken for a needle" in err


def damaged_video(folder):
    path = write_video(folder / "bad.avi", np.random.default_rng(1).integers(
        0, 255, (40, ROWS, COLUMNS), np.uint8
    ))  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def empty_video(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def no_video(folder):
    (folder / "words.mp4").write_bytes(b"only words " * 50)
    return folder / "words.mp4"


def two_sizes(folder):
    write_images(folder / "sizes", grey_frames(3))
    cv2.imwrite(str(folder / "sizes" / "frame_9.png"), np.zeros((70, 90), np.uint8))
    return folder / "sizes"


def no_numbers(folder):
    frames = grey_frames(3, dtype=np.float32, top=1.0)
    frames[1, 3, 3] = np.nan
    return write_sequence(folder / "nan.mha", frames)


def tiny_sector(folder):
    frame = np.zeros((400, 500), np.uint8)
    frame[200:225, 300:326] = np.random.default_rng(1).integers(0, 255, (25, 26))
    return write_images(folder / "tiny", frame[None])


def tiny_frames(folder):
    return write_images(folder / "dots", grey_frames(2, rows=6, columns=9))


def nothing(folder):
    (folder / "nothing").mkdir()
    return folder / "nothing"


@pytest.mark.parametrize(
    ("bad_input", "words"),
    [
        (damaged_video, "breaks off after"),
        (empty_video, "is empty"),
        (no_video, "is damaged or no recording"),
        (two_sizes, "changes size: frame 3"),
        (no_numbers, "frame 1, holds values that are no numbers"),
        (tiny_sector, "imaging region of only"),
        (tiny_frames, "frames of 9 x 6 pixels"),
        (nothing, "holds no images"),
        (lambda folder: folder / "none.mp4", "does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_half_written(
    needles, detector, tmp_path, bad_input, words
):
    path = bad_input(tmp_path)
    code, out, err = needles(
        *("track", path, "--output", tmp_path / "out" / "tips.csv"),
        *("--overlay", tmp_path / "out" / "out.mp4", "--activation", tmp_path / "out" / "a.png"),
    )
    assert (code, out) == (2, "")
    sentence = err.splitlines()[-1]
    assert words in sentence
    assert str(path) in sentence
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--output", "tips.txt"), "must end in .csv"),
        (("--output", "tips.csv", "--overlay", "out.avi"), "must end in .mp4"),
        (("--output", "tips.csv", "--activation", "a.jpg"), "must end in .png"),
        (("--output", "tips.csv", "--crop", "1,2,3"), "is no region"),
        (("--output", "tips.csv", "--crop", "0,0,900,900"), "does not fit"),
        (("--output", "tips.csv", "--threshold", "2"), "--threshold"),
        (("--output", "tips.csv", "--model", "other"), "--model"),
        ((), "--output"),
    ],
)
def test_options_that_cannot_be_are_refused(
    needles, detector, video, tmp_path, monkeypatch, options, words
):
    monkeypatch.chdir(tmp_path)
    code, out, err = needles("track", video, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.avi"]


def test_the_recording_itself_is_never_overwritten(needles, detector, tmp_path):
    video = write_video(tmp_path / "a.mp4", grey_frames(2))
    code, _, err = needles("track", video, "--output", tmp_path / "tips.csv", "--overlay", video)
    assert (code, "write somewhere else" in err) == (2, True)


def test_when_the_detector_fails_nothing_is_left(needles, detector, video, tmp_path, monkeypatch):
    def fail(image, time_s):
        raise KeyboardInterrupt

    monkeypatch.setattr(detector, "detect", fail)
    code, _, err = needles(
        *("track", video, "--output", tmp_path / "tips.csv", "--overlay", tmp_path / "out.mp4")
    )
    assert code == 130
    assert "nothing half-written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.avi"]


def test_with_the_network_itself_all_three_outputs_are_written(needles, video, tmp_path):
    weights = write_untrained_weights(tmp_path, threshold=0.0)
    code, out, err = needles(
        *("track", video, "--output", tmp_path / "tips.csv", "--overlay", tmp_path / "out.mp4"),
        *("--activation", tmp_path / "look.png", "--weights", weights, "--device", "cpu"),
        *("--crop", WHOLE),
    )
    assert (code, err) == (0, "")
    assert out.count("Written: ") == 3
    assert len(rows_of(tmp_path / "tips.csv")) == 4
    picture = cv2.imread(str(tmp_path / "look.png"))
    assert picture.shape == (ROWS, COLUMNS, 3)


def test_weights_that_are_none_are_refused(needles, video, tmp_path):
    weights = write_untrained_weights(tmp_path)
    card = json.loads(weights.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(json.dumps({**card, "threshold": "high"}))
    code, _, err = needles("track", video, "--output", tmp_path / "tips.csv", "--weights", weights)
    assert (code, err.count("\n")) == (2, 1)


def started(*arguments):
    """Start the command in a process of its own."""
    start = [sys.executable, "-c", "from needle_backend.cli.app import main; main()"]
    return subprocess.Popen(
        [*start, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_of_a_damaged_video_nothing_is_said_but_the_sentence(tmp_path):
    process = started("track", damaged_video(tmp_path), "--output", tmp_path / "tips.csv")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "breaks off after" in err


@pytest.mark.slow
def test_interrupted_from_outside_it_leaves_nothing(tmp_path):
    video = write_video(tmp_path / "a.avi", np.repeat(grey_frames(30), 20, axis=0))
    process = started(
        *("track", video, "--output", tmp_path / "out" / "tips.csv", "--device", "cpu"),
        *("--overlay", tmp_path / "out" / "out.mp4"),
        *("--weights", write_untrained_weights(tmp_path, input_px=640)),
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/.part-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err == "Interrupted; nothing half-written is left.\n"
    assert list((tmp_path / "out").iterdir()) == []
