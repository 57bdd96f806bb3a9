"""Small DICOM files, written with pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SPACING_ROWS, SPACING_COLS = 0.8, 0.7
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# What must never be shown to users or written anywhere.
PATIENT = "Doe^Jane"


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    positions: Any = None,
    uid: str = "1.2.3.4001",
    intercept: float | None = -1024,
    orientation: tuple[float, ...] = AXIAL,
    shuffle: bool = True,
    **tags: Any,
) -> list[Path]:
    """Writes one file a slice.

    Args:
        folder: Made if absent.
        array: (k, j, i), Hounsfield units; stored unsigned, less the intercept.
        positions: (n_k, 3) LPS in mm, or (n_k,) heights, or None for steps of 2.5 mm.
        uid: Series Instance UID.
        intercept: Rescale Intercept, or None to leave the rescale out and store the array as it is.
        orientation: Image Orientation (Patient).
        shuffle: Whether the files' names are in another order than the slices.
        tags: Further tags by their keyword; None removes one.

    Returns:
        The files in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = np.arange(len(array)) * 2.5 if positions is None else np.asarray(positions, dtype=float)
    if places.ndim == 1:
        places = np.column_stack([np.full(len(array), -100.0), np.full(len(array), -120.0), places])
    order = np.random.default_rng(3).permutation(len(array)) if shuffle else np.arange(len(array))
    paths = []
    for k, (plane, place) in enumerate(zip(array, places, strict=True)):
        header = _image_header(CT_IMAGE, f"{uid}.{k + 1}", uid)
        header.Rows, header.Columns = plane.shape
        header.ImageOrientationPatient = [f"{part:.10g}" for part in orientation]
        header.ImagePositionPatient = [f"{part:.10g}" for part in place]
        header.PixelSpacing = [SPACING_ROWS, SPACING_COLS]
        header.SliceThickness = 2.5
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.InstanceNumber = k + 1
        if intercept is not None:
            header.RescaleSlope, header.RescaleIntercept = 1, intercept
        _set_tags(header, tags)
        stored = plane.astype(np.int32) - int(intercept or 0)
        header.PixelRepresentation = int(stored.min() < 0)
        _set_pixels(header, stored.astype(np.int16 if stored.min() < 0 else np.uint16))
        path = folder / f"IM{order[k]:04d}"
        header.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(path: Path, array: np.ndarray, heights: np.ndarray, intercept: float = -1024) -> None:
    """Writes one multi-frame enhanced CT file; the frames may be in any order of heights."""
    header = _image_header(ENHANCED_CT_IMAGE, "1.2.3.9.1", "1.2.3.9")
    header.Rows, header.Columns = array.shape[1:]
    header.NumberOfFrames = len(array)
    header.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared, orientation, measures, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing, measures.SliceThickness = [SPACING_ROWS, SPACING_COLS], 2.5
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, intercept, "HU"
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([rescale])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence([_frame_group(height) for height in heights])
    header.PixelRepresentation = 0
    _set_pixels(header, (array.astype(np.int32) - int(intercept)).astype(np.uint16))
    header.save_as(path, enforce_file_format=True)


def write_colour(folder: Path, shape: tuple[int, int] = (36, 44), uid: str = "1.2.3.4777") -> Path:
    """Writes a screenshot, which scanners store among the images with modality CT."""
    folder.mkdir(parents=True, exist_ok=True)
    header = _image_header("1.2.840.10008.5.1.4.1.1.7", f"{uid}.1", uid)
    header.Rows, header.Columns = shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "RGB", 0
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = bytes(shape[0] * shape[1] * 3)
    path = folder / "SC0001"
    header.save_as(path, enforce_file_format=True)
    return path


def _frame_group(height: float) -> Dataset:
    group, plane = Dataset(), Dataset()
    plane.ImagePositionPatient = [-100.0, -120.0, float(height)]
    group.PlanePositionSequence = Sequence([plane])
    return group


def _image_header(sop_class: str, instance_uid: str, series_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = sop_class, instance_uid
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3", series_uid
    header.FrameOfReferenceUID = "1.2.3.8"
    header.Modality, header.PatientName, header.PatientID = "CT", PATIENT, "4711"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    return header


def _set_pixels(header: FileDataset, stored: np.ndarray) -> None:
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    if header.PixelRepresentation == 0 and stored.max() < 4096:
        header.BitsStored, header.HighBit = 12, 11
    header.PixelData = np.ascontiguousarray(stored).tobytes()


def _set_tags(header: FileDataset, tags: dict[str, Any]) -> None:
    for keyword, value in tags.items():
        if value is None:
            if keyword in header:
                delattr(header, keyword)
        else:
            setattr(header, keyword, value)
