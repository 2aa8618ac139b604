"""Write a small CT series as a scanner would, slice by slice, with what is to be wrong in it."""

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_series(
    folder: Path,
    array_hu: np.ndarray,
    positions_lps: list[tuple[float, float, float]],
    *,
    number: int = 1,
    description: str = "pelvis 5 mm",
    modality: str = "CT",
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL"),
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    pixel_mm: tuple[float, float] = (0.8, 0.8),
) -> str:
    """Write one file a slice of a [slice, row, column] array; return the SeriesInstanceUID."""
    folder.mkdir(parents=True, exist_ok=True)
    series_uid, study_uid = generate_uid(), generate_uid()
    for i, (pixels, position) in enumerate(zip(array_hu, positions_lps, strict=True)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        image.SpecificCharacterSet = "ISO_IR 100"
        image.ImageType = list(image_type)
        image.SOPClassUID = meta.MediaStorageSOPClassUID
        image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        image.Modality = modality
        image.SeriesDescription = description
        image.StudyInstanceUID, image.SeriesInstanceUID = study_uid, series_uid
        image.SeriesNumber, image.InstanceNumber = number, i + 1
        image.ImagePositionPatient = [float(value) for value in position]
        image.ImageOrientationPatient = [float(value) for value in orientation]
        image.PixelSpacing = [pixel_mm[1], pixel_mm[0]]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows, image.Columns = pixels.shape
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        image.RescaleIntercept, image.RescaleSlope = -1024, 1
        image.PixelData = (pixels + 1024).astype(np.uint16).tobytes()
        # File names tell nothing of the order, as in many an export.
        image.save_as(folder / f"{number}_{(i * 7) % 101:03d}.dcm")
    return series_uid


def axial_positions(z_mm: list[float]) -> list[tuple[float, float, float]]:
    """Return positions of axial slices straight above each other."""
    return [(-20.0, -30.0, z) for z in z_mm]
