"""Recordings made for tests, in every form that people have."""

from __future__ import annotations

import cv2
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

ROWS, COLUMNS = 48, 64


def grey_frames(count, rows=ROWS, columns=COLUMNS, dtype=np.uint8, top=255):
    """Smooth grey frames (they survive video compression), each brighter than the one before."""
    ramp = np.linspace(0.1, 0.6, columns)[None, :] + np.linspace(0, 0.2, rows)[:, None]
    steps = 0.2 * np.arange(count)[:, None, None] / max(count - 1, 1)
    return ((ramp[None] + steps) * top).astype(dtype)


def write_video(path, frames, fps=20.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = frames.shape[1:3]
    fourcc = cv2.VideoWriter_fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    video = cv2.VideoWriter(str(path), fourcc, fps, (columns, rows))
    assert video.isOpened()
    for frame in frames:
        video.write(frame if frame.ndim == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    video.release()
    return path


def write_images(folder, frames, name="frame_{}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / name.format(number)), frame)
    return folder


def write_sequence(path, frames, tags=None, is_vector=False):
    """Write frames along the third axis, or as the components of a pixel."""
    array = np.moveaxis(frames, 0, -1) if is_vector else frames
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    for key, value in (tags or {}).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path))
    return path


def write_slicer_sequence(path, frames, step_s):
    """Write frames as 3D Slicer saves a sequence of images: the list is the fastest axis."""
    count, rows, columns = frames.shape
    times = " ".join(f"{number * step_s:g}" for number in range(count))
    head = f"""NRRD0004
type: uint8
dimension: 4
space: left-posterior-superior
sizes: {count} {columns} {rows} 1
space directions: none (1,0,0) (0,1,0) (0,0,1)
kinds: list domain domain domain
encoding: raw
space origin: (0,0,0)
axis 0 index type:=numeric
axis 0 index unit:=s
axis 0 index values:={times}

"""
    path.write_bytes(head.encode() + np.ascontiguousarray(np.moveaxis(frames, 0, -1)).tobytes())
    return path


def write_colour_loop(path, frames, photometric, is_compressed):
    """Write red, green, blue frames as a scanner's DICOM loop of 25 frames a second."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if is_compressed else ExplicitVRLittleEndian
    loop = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    loop.SOPClassUID, loop.SOPInstanceUID = UltrasoundMultiFrameImageStorage, generate_uid()
    loop.Modality = "US"
    loop.NumberOfFrames, loop.Rows, loop.Columns, loop.SamplesPerPixel = frames.shape
    loop.PhotometricInterpretation, loop.PlanarConfiguration = photometric, 0
    loop.BitsAllocated = loop.BitsStored = 8
    loop.HighBit, loop.PixelRepresentation = 7, 0
    loop.FrameTime = 40.0
    if is_compressed:
        jpegs = [cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in frames]
        loop.PixelData = encapsulate(jpegs)
        loop["PixelData"].is_undefined_length = True
    else:
        loop.PixelData = frames.tobytes()
    loop.save_as(path, enforce_file_format=True)
    return path
