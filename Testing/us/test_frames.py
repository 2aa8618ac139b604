"""Recordings of every kind come as grey frames of 8 bits; what is none is refused in a sentence."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from us.recordings import (
    COLUMNS,
    ROWS,
    grey_frames,
    write_colour_loop,
    write_images,
    write_sequence,
    write_slicer_sequence,
    write_video,
)

from needle_backend.core.errors import InputError
from needle_backend.us.frames import ASSUMED_FPS, open_frames

SAMPLE = Path(__file__).parents[2] / "Resources" / "Sample" / "sample_us.seq.nrrd"


def images_of(path, fps=None):
    return np.array([frame.image for frame in open_frames(path, fps)])


def refusal(path):
    with pytest.raises(InputError) as refused:
        list(open_frames(path))
    sentence = str(refused.value)
    assert str(path.name) in sentence
    return sentence


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_video_gives_its_frames_and_their_times(tmp_path, name):
    frames = grey_frames(7)
    source = open_frames(write_video(tmp_path / name, frames, fps=20.0))
    read = list(source)
    assert (source.size, source.fps, source.count) == ((COLUMNS, ROWS), 20.0, 7)
    assert [frame.index for frame in read] == list(range(7))
    assert read[6].time_s == pytest.approx(0.3)
    assert all(frame.image.dtype == np.uint8 for frame in read)
    np.testing.assert_allclose(np.array([f.image for f in read]), frames, atol=12)


def test_images_come_in_the_order_in_which_people_number_them(tmp_path):
    frames = grey_frames(12)
    folder = write_images(tmp_path / "some", frames, "frame_{}.png")
    np.testing.assert_array_equal(images_of(folder), frames)


def test_what_lies_beside_the_images_is_passed_over(tmp_path):
    folder = write_images(tmp_path / "some", grey_frames(2))
    (folder / "notes.txt").write_text("scanned on Monday")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "deeper.png").mkdir()
    assert len(images_of(folder)) == 2


def test_the_shipped_recording_which_slicers_library_wrote_tells_its_rate():
    source = open_frames(SAMPLE)
    assert (source.fps, source.count, source.size) == (pytest.approx(12, rel=1e-3), 48, (320, 240))


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.seq.nrrd"])
def test_a_sequence_lies_along_the_third_axis(tmp_path, name):
    frames = grey_frames(5)
    np.testing.assert_array_equal(images_of(write_sequence(tmp_path / name, frames)), frames)


def test_a_sequence_may_lie_along_the_fourth_axis(tmp_path):
    frames = grey_frames(5)
    path = write_sequence(tmp_path / "a.nrrd", frames[:, None])
    np.testing.assert_array_equal(images_of(path), frames)


def test_a_sequence_may_lie_in_the_components_of_a_pixel(tmp_path):
    frames = grey_frames(5)
    path = write_sequence(tmp_path / "a.nrrd", frames, is_vector=True)
    np.testing.assert_array_equal(images_of(path), frames)


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_a_sequence_of_slicer_comes_with_its_frames_and_rate(tmp_path, count):
    """Even three of them, which could be taken for the channels of a colour."""
    frames = grey_frames(count)
    path = write_slicer_sequence(tmp_path / "a.seq.nrrd", frames, step_s=0.05)
    np.testing.assert_array_equal(images_of(path), frames)
    assert open_frames(path).fps == pytest.approx(20.0)


def test_a_sequence_of_plus_comes_with_its_rate(tmp_path):
    tags = {f"Seq_Frame{number:04d}_Timestamp": str(3.0 + number / 8) for number in range(4)}
    path = write_sequence(tmp_path / "a.mha", grey_frames(4), tags)
    assert open_frames(path).fps == pytest.approx(8.0)


def test_one_image_is_a_recording_of_one_frame(tmp_path):
    frames = grey_frames(1)
    write_images(tmp_path, frames, "one_{}.png")
    write_sequence(tmp_path / "one.mha", frames)
    sitk.WriteImage(sitk.GetImageFromArray(frames[0]), str(tmp_path / "flat.mha"))
    for name in ("one_0.png", "one.mha", "flat.mha"):
        np.testing.assert_array_equal(images_of(tmp_path / name), frames)


def write_dicom(path, frames, tags):
    image = sitk.GetImageFromArray(frames)
    for key, value in {"0008|0060": "US", **tags}.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), imageIO="GDCMImageIO")
    return path


def test_dicom_with_several_frames_gives_them_at_its_rate(tmp_path):
    frames = grey_frames(4)
    path = write_dicom(tmp_path / "loop.dcm", frames, {"0018|1063": "40"})
    np.testing.assert_array_equal(images_of(path), frames)
    assert open_frames(path).fps == 25.0
    assert open_frames(path, fps=10.0).fps == 10.0


def test_a_folder_of_single_dicom_images_is_a_recording(tmp_path):
    frames = grey_frames(3)
    for number, frame in enumerate(frames):
        write_dicom(tmp_path / f"{number}.dcm", frame[None], {})
    np.testing.assert_array_equal(images_of(tmp_path), frames)


def test_a_colour_dicom_is_grey(tmp_path):
    frames = np.repeat(grey_frames(1)[0][:, :, None], 3, axis=2)
    image = sitk.GetImageFromArray(frames, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "a.dcm"), imageIO="GDCMImageIO")
    np.testing.assert_allclose(images_of(tmp_path / "a.dcm")[0], frames[..., 0], atol=1)


@pytest.mark.parametrize(
    ("photometric", "is_compressed"),
    [("RGB", False), ("YBR_FULL_422", True), ("RGB", True)],
    ids=["plain", "JPEG", "JPEG that hides its chroma"],
)
def test_a_colour_loop_of_a_scanner_is_grey(tmp_path, photometric, is_compressed):
    grey = grey_frames(5, rows=96, columns=128)
    colours = np.repeat(grey[..., None], 3, axis=-1)
    colours[:, 10:26, 10:26] = (255, 200, 0)
    path = write_colour_loop(tmp_path / "a.dcm", colours, photometric, is_compressed)
    read = images_of(path)
    np.testing.assert_allclose(read[:, 32:], grey[:, 32:], atol=3)
    assert abs(int(read[2, 18, 18]) - round(0.299 * 255 + 0.587 * 200)) <= 2
    assert open_frames(path).fps == 25.0


def test_brightness_and_chroma_that_call_themselves_colours_are_grey(tmp_path):
    grey = grey_frames(1)[0]
    mislabelled = np.dstack([grey, np.full_like(grey, 128), np.full_like(grey, 128)])
    image = sitk.GetImageFromArray(mislabelled, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "a.dcm"), imageIO="GDCMImageIO")
    np.testing.assert_array_equal(images_of(tmp_path / "a.dcm")[0], grey)


def test_colours_turn_grey_and_are_remembered(tmp_path):
    frame = np.full((ROWS, COLUMNS, 3), 80, np.uint8)
    frame[10:14, 20:40] = (0, 255, 255)
    cv2.imwrite(str(tmp_path / "a.png"), frame)
    source = open_frames(tmp_path / "a.png")
    (only,) = source
    assert only.image.shape == (ROWS, COLUMNS)
    assert only.image[0, 0] == 80
    assert source.coloured.sum() == 4 * 20
    assert source.coloured[12, 30]


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 3]])
def test_red_green_and_blue_keep_their_brightness_in_every_format(tmp_path, order):
    frame = np.zeros((ROWS, COLUMNS, 4), np.uint8)
    frame[..., 0], frame[..., 1], frame[..., 3] = 250, 20, 255  # red, green, alpha
    frame = frame[..., order]
    sitk.WriteImage(sitk.GetImageFromArray(frame, isVector=True), str(tmp_path / "a.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(frame, isVector=True), str(tmp_path / "a.png"))
    expected = round(0.299 * 250 + 0.587 * 20)
    assert abs(int(images_of(tmp_path / "a.nrrd")[0, 0, 0]) - expected) <= 1
    assert abs(int(images_of(tmp_path / "a.png")[0, 0, 0]) - expected) <= 1


@pytest.mark.parametrize(
    ("dtype", "top"),
    [(np.uint16, 65535), (np.uint16, 4095), (np.uint16, 255), (np.float32, 1.0), (np.int16, 1023)],
)
def test_more_bits_become_eight_by_their_full_scale(tmp_path, dtype, top):
    eight_bits = grey_frames(6)
    path = write_sequence(tmp_path / "a.mha", grey_frames(6, dtype=dtype, top=top))
    np.testing.assert_allclose(images_of(path), eight_bits, atol=1)


def test_frames_of_16_bits_keep_their_brightness_from_one_to_the_next(tmp_path):
    frames = grey_frames(8, dtype=np.uint16, top=40000)
    frames[3] //= 4
    means = images_of(write_images(tmp_path / "some", frames)).mean(axis=(1, 2))
    expected = frames.mean(axis=(1, 2))
    np.testing.assert_allclose(means / expected, means[0] / expected[0], rtol=0.01)


def test_without_a_rate_times_are_those_of_the_assumed_one(tmp_path):
    folder = write_images(tmp_path / "some", grey_frames(3))
    assert open_frames(folder).fps is None
    assert [frame.time_s for frame in open_frames(folder)][2] == pytest.approx(2 / ASSUMED_FPS)
    assert [frame.time_s for frame in open_frames(folder, fps=10.0)][2] == pytest.approx(0.2)


def test_a_recording_can_be_gone_through_again(tmp_path):
    source = open_frames(write_video(tmp_path / "a.avi", grey_frames(3)))
    assert len(list(source)) == len(list(source)) == 3


def test_what_does_not_exist_is_said(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mha", "a.nrrd", "a.png", "a.dcm", "a"])
def test_an_empty_file_is_said_to_be_empty(tmp_path, name):
    (tmp_path / name).touch()
    assert "is empty" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mha", "a.nrrd", "a.png", "a.dcm", "a.txt"])
def test_a_file_of_anything_else_is_refused(tmp_path, capfd, name):
    (tmp_path / name).write_bytes(b"This is no recording at all, only some words. " * 20)
    assert re.search("damaged|no recording", refusal(tmp_path / name))
    assert capfd.readouterr().err == ""


def test_a_video_without_a_frame_is_refused(tmp_path):
    path = write_video(tmp_path / "a.avi", grey_frames(1)[:0].reshape(0, ROWS, COLUMNS))
    refusal(path)


def test_a_video_that_was_cut_short_is_refused(tmp_path):
    path = write_video(tmp_path / "a.avi", np.random.default_rng(1).integers(
        0, 255, (40, ROWS, COLUMNS), np.uint8
    ))  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "breaks off after" in refusal(path)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_a_sequence_that_was_cut_short_is_refused(tmp_path, capfd, name):
    path = write_sequence(tmp_path / name, grey_frames(9))
    path.write_bytes(path.read_bytes()[:-5000])
    assert "cut short" in refusal(path)
    assert capfd.readouterr().err == ""


def test_frames_that_change_size_are_refused_naming_the_frame(tmp_path):
    folder = write_images(tmp_path / "some", grey_frames(3))
    cv2.imwrite(str(folder / "frame_3.png"), np.zeros((ROWS, COLUMNS + 1), np.uint8))
    assert "frame 3 has 65 x 48 pixels" in refusal(folder)


def test_a_damaged_image_in_a_folder_is_named(tmp_path):
    folder = write_images(tmp_path / "some", grey_frames(3))
    (folder / "frame_1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"frame_1\.png is empty"):
        list(open_frames(folder))


def test_frames_with_no_numbers_in_them_are_refused_naming_the_frame(tmp_path):
    frames = grey_frames(4, dtype=np.float32, top=1.0)
    frames[2, 5, 5] = np.nan
    sentence = refusal(write_sequence(tmp_path / "a.mha", frames))
    assert "frame 2" in sentence
    assert "NaN" in sentence


def test_frames_of_a_few_pixels_are_refused(tmp_path):
    folder = write_images(tmp_path / "some", grey_frames(3, rows=5, columns=7))
    assert "frames of 7 x 5 pixels" in refusal(folder)


def test_volumes_are_no_frames(tmp_path):
    volumes = np.zeros((3, 4, ROWS, COLUMNS), np.uint8)
    assert "sequence of volumes" in refusal(write_sequence(tmp_path / "a.nrrd", volumes))


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "some").mkdir()
    assert "holds no images" in refusal(tmp_path / "some")


def test_a_folder_whose_images_lie_deeper_says_where(tmp_path):
    frames = write_images(tmp_path / "sequence" / "frames", grey_frames(1))
    assert f"but {frames} does; give that" in refusal(tmp_path / "sequence")


def test_names_beyond_ascii_are_fine(tmp_path):
    path = write_video(tmp_path / "a.avi", grey_frames(2))
    shutil.move(path, tmp_path / "Größe 1.avi")
    write_images(tmp_path / "Ärmel", grey_frames(2))
    assert len(images_of(tmp_path / "Größe 1.avi")) == len(images_of(tmp_path / "Ärmel")) == 2
